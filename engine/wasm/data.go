package wasm

import "fmt"

// Segment is data that belongs into a memory at an offset.
type Segment struct {
	Offset uint32
	Init   []byte // part of the module's bytes, not to be changed
}

// StripData takes the active data segments out of the module and returns them
// in order, for the host to write them into the first instance of the module
// (a later one overwrites an earlier one where they overlap). A segment that
// does not fit into the memory would have made instantiation trap; the host
// must treat it likewise. Passive segments stay, and so do the indices of all
// segments.
//
// Three kinds of modules are refused with an error that wraps ErrUnsupported,
// and left as they were: with a start function, which would run without its
// data (see [Module.DetachStart]); with a segment whose place is given by an
// imported global; and with segments but no memory of their own.
func (m *Module) StripData() ([]Segment, error) {
	var list []Segment
	for i := range m.data {
		d := &m.data[i]
		if d.Passive {
			continue
		}
		if m.start >= 0 {
			return nil, fmt.Errorf("strip data: %w: a start function would run before its data is there", ErrUnsupported)
		}
		if len(m.memories) == 0 {
			return nil, fmt.Errorf("strip data: %w: the memory is imported", ErrUnsupported)
		}
		offset, ok := m.constant(d.offset)
		if !ok {
			return nil, fmt.Errorf("strip data: %w: data segment %d has an offset that is not constant", ErrUnsupported, i)
		}
		list = append(list, Segment{Offset: offset, Init: d.Init})
	}
	if len(list) == 0 {
		return nil, nil
	}
	// After instantiation an active segment counts as dropped, which is the
	// same as an empty passive one. Without a data count section, no
	// instruction refers to a segment.
	kept := m.data[:0:0]
	for _, d := range m.data {
		if !d.Passive {
			if m.dataCount < 0 {
				continue
			}
			d = Data{Passive: true, raw: []byte{1, 0}}
		}
		kept = append(kept, d)
	}
	m.data = kept
	m.touch(secData)
	return list, nil
}
