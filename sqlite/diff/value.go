package diff

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the storage class of a value.
type Kind uint8

// The storage classes, in SQLite's order of comparison (Integer and Real
// compare by value).
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

func (k Kind) String() string {
	return [...]string{"null", "integer", "real", "text", "blob"}[k]
}

// Value is one field of a row.
type Value struct {
	Kind  Kind
	Int   int64   // of an Integer
	Real  float64 // of a Real; never NaN
	Bytes []byte  // of a Text, as UTF-8 (invalid text stays invalid), or a Blob; not to be written to

	raw []byte // of a Text, as stored
}

// Equal reports whether v and w are of the same storage class and the same to
// the bit.
func (v Value) Equal(w Value) bool {
	return v.Kind == w.Kind && v.Int == w.Int &&
		math.Float64bits(v.Real) == math.Float64bits(w.Real) && bytes.Equal(v.Bytes, w.Bytes)
}

// encoding is a database's text encoding, by its number in the header.
type encoding uint8

const (
	utf8Text    encoding = 1
	utf16leText encoding = 2
	utf16beText encoding = 3
)

func (e encoding) order() binary.ByteOrder {
	if e == utf16beText {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (e encoding) String() string {
	return [...]string{"", "UTF-8", "UTF-16le", "UTF-16be"}[e]
}

// decode turns stored text to UTF-8; a surrogate without its partner becomes
// three bytes, so that encode gives the stored text back.
func (e encoding) decode(raw []byte) []byte {
	if e == utf8Text {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i+1 < len(raw); i += 2 {
		u := rune(e.order().Uint16(raw[i:]))
		if utf16.IsSurrogate(u) {
			if i+3 < len(raw) {
				if r := utf16.DecodeRune(u, rune(e.order().Uint16(raw[i+2:]))); r != utf8.RuneError {
					out = utf8.AppendRune(out, r)
					i += 2
					continue
				}
			}
			out = append(out, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0xbf, 0x80|byte(u)&0xbf)
			continue
		}
		out = utf8.AppendRune(out, u)
	}
	return out
}

// encode is the inverse of decode.
func (e encoding) encode(text []byte) []byte {
	if e == utf8Text {
		return text
	}
	out := make([]byte, 0, 2*len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 && len(text) >= 3 && text[0] == 0xed {
			r, n = rune(text[0]&0x0f)<<12|rune(text[1]&0x3f)<<6|rune(text[2]&0x3f), 3
		}
		text = text[n:]
		var u [2]byte
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			e.order().PutUint16(u[:], uint16(hi))
			out = append(out, u[:]...)
			r = lo
		}
		e.order().PutUint16(u[:], uint16(r))
		out = append(out, u[:]...)
	}
	return out
}

// maxColumns is the most fields that SQLite can be built to allow in a row.
const maxColumns = 32767

// decodeRecord decodes a payload; at most max fields, all if max is negative.
// The values share memory with the payload. The string returned says what is
// wrong with the payload, and is empty if nothing is.
func decodeRecord(b []byte, enc encoding, max int) ([]Value, string) {
	h, n := uvarint(b)
	if n == 0 || h > uint64(len(b)) || h < uint64(n) {
		return nil, "a record's header is too long for it"
	}
	head, body := b[n:h], b[h:]
	out := make([]Value, 0, 8)
	for len(head) > 0 && len(out) != max {
		if len(out) == maxColumns {
			return nil, "a record has more fields than SQLite allows"
		}
		t, n := uvarint(head)
		if n == 0 {
			return nil, "a record's header ends within a number"
		}
		head = head[n:]
		size := uint64(0)
		switch {
		case t <= 4:
			size = t
		case t == 5:
			size = 6
		case t == 6, t == 7:
			size = 8
		case t == 10, t == 11:
			return nil, "a record has a field of a reserved type"
		case t >= 12:
			size = (t - 12) / 2
		}
		if size > uint64(len(body)) {
			return nil, "a record's fields are longer than the record"
		}
		f := body[:size:size]
		body = body[size:]
		out = append(out, decodeField(t, f, enc))
	}
	return out, ""
}

func decodeField(t uint64, f []byte, enc encoding) Value {
	switch {
	case t == 0:
		return Value{}
	case t <= 6:
		v := int64(int8(f[0]))
		for _, c := range f[1:] {
			v = v<<8 | int64(c)
		}
		return Value{Kind: Integer, Int: v}
	case t == 7:
		r := math.Float64frombits(binary.BigEndian.Uint64(f))
		if math.IsNaN(r) {
			return Value{}
		}
		return Value{Kind: Real, Real: r}
	case t <= 9:
		return Value{Kind: Integer, Int: int64(t - 8)}
	case t%2 == 0:
		return Value{Kind: Blob, Bytes: f}
	}
	return Value{Kind: Text, Bytes: enc.decode(f), raw: f}
}

// keyPart is how one column of a key is ordered.
type keyPart struct {
	collation string // upper case
	desc      bool
}

func knownCollation(name string) bool {
	return name == "BINARY" || name == "NOCASE" || name == "RTRIM"
}

// compareKeys compares the first len(parts) values as SQLite orders records. A
// shorter key comes first.
func compareKeys(a, b []Value, parts []keyPart) int {
	for i, p := range parts {
		if i >= len(a) || i >= len(b) {
			return len(a) - len(b)
		}
		if c := compareValues(a[i], b[i], p.collation); c != 0 {
			if p.desc {
				return -c
			}
			return c
		}
	}
	return 0
}

func compareValues(a, b Value, collation string) int {
	an, bn := a.Kind == Integer || a.Kind == Real, b.Kind == Integer || b.Kind == Real
	switch {
	case an && bn:
		return compareNumbers(a, b)
	case a.Kind != b.Kind:
		return int(a.Kind) - int(b.Kind)
	case a.Kind == Blob:
		return bytes.Compare(a.Bytes, b.Bytes)
	case a.Kind == Text:
		return compareText(a, b, collation)
	}
	return 0
}

func compareText(a, b Value, collation string) int {
	switch collation {
	case "NOCASE":
		x, y := a.Bytes, b.Bytes
		for i := range min(len(x), len(y)) {
			if c := int(lower(x[i])) - int(lower(y[i])); c != 0 {
				return c
			}
			if x[i] == 0 {
				break // so does SQLite's NOCASE
			}
		}
		return len(x) - len(y)
	case "RTRIM":
		return bytes.Compare(bytes.TrimRight(a.Bytes, " "), bytes.TrimRight(b.Bytes, " "))
	}
	return bytes.Compare(a.raw, b.raw) // in the database's own encoding, as SQLite does
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func compareNumbers(a, b Value) int {
	switch {
	case a.Kind == Integer && b.Kind == Integer:
		return compareOrdered(a.Int, b.Int)
	case a.Kind == Real && b.Kind == Real:
		return compareOrdered(a.Real, b.Real)
	case a.Kind == Real:
		return -compareIntReal(b.Int, a.Real)
	}
	return compareIntReal(a.Int, b.Real)
}

// compareIntReal compares exactly, also beyond 2^53.
func compareIntReal(i int64, r float64) int {
	if r < -(1 << 63) {
		return 1
	}
	if r >= 1<<63 {
		return -1
	}
	if c := compareOrdered(i, int64(r)); c != 0 {
		return c
	}
	return compareOrdered(float64(int64(r)), r)
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// foldName is the form in which SQLite compares names.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
