package engine

import "fmt"

// heapBacking holds memories as plain bytes: a fork copies the image.
type heapBacking struct{}

type heapRegion struct {
	max uint64
	buf []byte
	img *heapImage
}

type heapImage struct {
	length uint64
	data   []byte
}

func (heapBacking) reserve(max uint64) (region, error) { return &heapRegion{max: max}, nil }

// guarded is false: what lies beyond a memory is something else.
func (heapBacking) guarded() bool { return false }

func (heapBacking) freeze(memory []byte) (image, error) {
	return &heapImage{uint64(len(memory)), append([]byte(nil), zeroTail(memory)...)}, nil
}

func (r *heapRegion) bytes(size uint64) ([]byte, error) {
	if size > r.max {
		return nil, fmt.Errorf("memory of %d bytes: %d are reserved", size, r.max)
	}
	if size > uint64(cap(r.buf)) {
		// Growing little by little must not copy everything each time.
		room := min(max(size, uint64(cap(r.buf))*3/2), r.max)
		grown := make([]byte, size, room)
		copy(grown, r.buf)
		r.buf = grown
	} else if old := uint64(len(r.buf)); size > old {
		r.buf = r.buf[:size]
		clear(r.buf[old:])
	}
	return r.buf[:size], nil
}

func (r *heapRegion) load(img image) error {
	r.img = img.(*heapImage)
	buf, err := r.bytes(r.img.length)
	copy(buf, r.img.data)
	return err
}

func (r *heapRegion) reset() error {
	n := copy(r.buf, r.img.data)
	clear(r.buf[n:])
	r.buf = r.buf[:r.img.length]
	return nil
}

func (r *heapRegion) room() uint64 { return r.max }
func (r *heapRegion) free()        { r.buf = nil }

func (i *heapImage) size() uint64   { return i.length }
func (i *heapImage) stored() uint64 { return uint64(len(i.data)) }
func (i *heapImage) free()          {}
