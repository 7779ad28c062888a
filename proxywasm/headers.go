package proxywasm

import (
	"iter"
	"slices"
	"unsafe"
)

// Headers is an ordered multimap of header names, in lower case, to values:
// headers, with the pseudo-headers :method, :path, :authority, :scheme and
// :status among them, trailers or metadata. The zero value is empty.
//
// Looking up allocates nothing. It is used by one goroutine at a time.
type Headers struct {
	fields  []Field
	changes int
	// spare is room for values that plugins write: strings are cut off from
	// it, and no byte is written twice.
	spare []byte
}

// A Field is one name with a value.
type Field struct{ Name, Value string }

// MakeHeaders returns headers of names and values in turn.
func MakeHeaders(pairs ...string) *Headers {
	h := &Headers{}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// Len is the number of fields.
func (h *Headers) Len() int {
	if h == nil {
		return 0
	}
	return len(h.fields)
}

// Get returns the first value of a name.
func (h *Headers) Get(name string) (string, bool) {
	if h == nil {
		return "", false
	}
	for i := range h.fields {
		if sameName(h.fields[i].Name, name) {
			return h.fields[i].Value, true
		}
	}
	return "", false
}

// Value is the first value of a name, or "".
func (h *Headers) Value(name string) string {
	v, _ := h.Get(name)
	return v
}

// Values returns all values of a name.
func (h *Headers) Values(name string) (values []string) {
	for f := range h.All() {
		if sameName(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Size is the number of bytes that names and values have.
func (h *Headers) Size() (n int64) {
	for f := range h.All() {
		n += int64(len(f.Name) + len(f.Value))
	}
	return n
}

// Add adds a field behind the others.
func (h *Headers) Add(name, value string) {
	h.changes++
	h.fields = append(h.fields, Field{lower(name), value})
}

// Grow makes room for n more fields.
func (h *Headers) Grow(n int) { h.fields = slices.Grow(h.fields, n) }

// Set gives a name one value: at the place of its first field, or behind the
// others if it has none. Other fields of the name go.
func (h *Headers) Set(name, value string) {
	h.changes++
	for i := range h.fields {
		if sameName(h.fields[i].Name, name) {
			h.fields[i].Value = value
			h.cut(i+1, name)
			return
		}
	}
	h.fields = append(h.fields, Field{lower(name), value})
}

// Remove takes all fields of a name out.
func (h *Headers) Remove(name string) {
	h.changes++
	h.cut(0, name)
}

// cut takes the fields of a name out, from index on.
func (h *Headers) cut(from int, name string) {
	kept := from
	for i := from; i < len(h.fields); i++ {
		if sameName(h.fields[i].Name, name) {
			continue
		}
		h.fields[kept] = h.fields[i]
		kept++
	}
	clear(h.fields[kept:])
	h.fields = h.fields[:kept]
}

// Replace makes fields the content; the names are taken as lower case.
func (h *Headers) Replace(fields []Field) {
	h.changes++
	h.fields = append(h.fields[:0], fields...)
	for i := range h.fields {
		h.fields[i].Name = lower(h.fields[i].Name)
	}
}

// All yields the fields in order.
func (h *Headers) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		if h == nil {
			return
		}
		for _, f := range h.fields {
			if !yield(f) {
				return
			}
		}
	}
}

// Fields returns the fields in order. They are good until the headers change,
// and not to be changed.
func (h *Headers) Fields() []Field {
	if h == nil {
		return nil
	}
	return h.fields
}

// Clone returns a copy.
func (h *Headers) Clone() *Headers {
	if h == nil {
		return nil
	}
	fields := make([]Field, len(h.fields), len(h.fields)+2) // most plugins add one or two
	copy(fields, h.fields)
	return &Headers{fields: fields}
}

// Reset empties the headers for another use.
func (h *Headers) Reset() {
	clear(h.fields)
	h.fields, h.changes = h.fields[:0], 0
}

// Changes counts the changes so far: an embedder that keeps headers in
// another form compares it.
func (h *Headers) Changes() int {
	if h == nil {
		return 0
	}
	return h.changes
}

// spareSize is how much is allocated at once for values that plugins write,
// after a first few: most write little.
const (
	spareSize  = 1 << 10
	spareFirst = 1 << 7
)

// keep returns a string of what lies in a plugin's memory.
func (h *Headers) keep(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) > spareSize/4:
		return string(b)
	case len(b) > len(h.spare) && h.spare == nil:
		h.spare = make([]byte, max(spareFirst, len(b)+1))
	case len(b) > len(h.spare):
		h.spare = make([]byte, spareSize)
	}
	n := copy(h.spare, b)
	s := unsafe.String(&h.spare[0], n)
	h.spare = h.spare[n:]
	return s
}

// view is b as a string for the length of a call.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// sameName compares a name in lower case with one in any.
func sameName(name, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i := range len(name) {
		if c := other[i]; name[i] != c && ('A' > c || c > 'Z' || name[i] != c+'a'-'A') {
			return false
		}
	}
	return true
}

// lower is strings.ToLower for ASCII alone: header names are nothing else,
// and other bytes are to stay what they are.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
