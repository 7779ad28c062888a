package sql

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// The types of values in blocks.
const (
	typeInteger = 1
	typeFloat   = 2
	typeText    = 3
	typeBlob    = 4
	typeNull    = 5
)

// appendArguments appends a block of arguments.
func (n *name) appendArguments(b []byte, args []driver.NamedValue) ([]byte, error) {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(args)))
	for _, a := range args {
		if len(a.Name) > math.MaxUint8 {
			return nil, fmt.Errorf("the name of argument %d has %d bytes, which are more than 255", a.Ordinal, len(a.Name))
		}
		head := func(kind byte) { b = append(append(b, kind, byte(len(a.Name))), a.Name...) }
		sized := func(kind byte, v string) {
			head(kind)
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
		}
		switch v := a.Value.(type) {
		case nil:
			head(typeNull)
		case int64:
			head(typeInteger)
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		case bool:
			head(typeInteger)
			bit := uint64(0)
			if v {
				bit = 1
			}
			b = binary.LittleEndian.AppendUint64(b, bit)
		case float64:
			head(typeFloat)
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case string:
			sized(typeText, v)
		case []byte:
			if v == nil {
				head(typeNull)
				break
			}
			head(typeBlob)
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
		case time.Time:
			sized(typeText, n.formatTime(v))
		default:
			return nil, fmt.Errorf("argument %d is a %T, which SQLite has not", a.Ordinal, v)
		}
	}
	return b, nil
}
