package diff

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// literal is v as an SQL expression. Text that is not plain is written as a
// cast of its bytes in the database's encoding.
func (d *Diff) literal(v Value) (string, error) {
	switch v.Kind {
	case Integer:
		return strconv.FormatInt(v.Int, 10), nil
	case Real:
		return d.asker.realLiteral(v.Real)
	case Text:
		if plainText(v.Bytes) {
			return quoteText(string(v.Bytes)), nil
		}
		enc := d.before.enc
		if d.before.count == 0 {
			enc = d.after.enc
		}
		return "CAST(x'" + hex.EncodeToString(enc.encode(v.Bytes)) + "' AS TEXT)", nil
	case Blob:
		return "x'" + hex.EncodeToString(v.Bytes) + "'", nil
	}
	return "NULL", nil
}

// plainText reports whether text can stand in quotes: SQL text ends at NUL,
// and shells and editors change carriage returns.
func plainText(b []byte) bool {
	for _, c := range b {
		if c == 0 || c == '\r' || c == 0x1b {
			return false
		}
	}
	return utf8.Valid(b) && !strings.HasPrefix(string(b), "\ufeff")
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// realLiteral finds an expression that SQLite evaluates to exactly r. Short
// decimals are read back exactly; of longer ones SQLite may miss the last bit,
// so it is asked.
func (a *asker) realLiteral(r float64) (string, error) {
	if math.IsInf(r, 1) {
		return "9.0e+999", nil
	}
	if math.IsInf(r, -1) {
		return "-9.0e+999", nil
	}
	s := strconv.FormatFloat(r, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	} else if m, e, ok := strings.Cut(s, "e"); ok && !strings.Contains(m, ".") {
		s = m + ".0e" + e
	}
	if len(s) <= 15 && r != 0 && math.Abs(r) > 1e-15 && math.Abs(r) < 1e15 {
		return s, nil
	}
	for _, lit := range []string{s, strconv.FormatFloat(r, 'e', 17, 64), strconv.FormatFloat(r, 'e', 19, 64), exactReal(r)} {
		v, err := a.scalar("SELECT 'real', " + lit)
		if err != nil {
			return "", err
		}
		if v.Kind == Real && math.Float64bits(v.Real) == math.Float64bits(r) {
			return lit, nil
		}
	}
	return "", fmt.Errorf("writing the number %v in SQL: SQLite does not read it back", r)
}

// exactReal writes r as an integer times powers of two, all of them exact.
func exactReal(r float64) string {
	if r == 0 && math.Signbit(r) {
		return "(0.0 * -1.0)"
	}
	frac, exp := math.Frexp(r)
	m := int64(math.Ldexp(frac, 53))
	exp -= 53
	for m != 0 && m%2 == 0 { // so that a subnormal loses no bits on the way
		m, exp = m/2, exp+1
	}
	s := fmt.Sprintf("(CAST(%d AS REAL)", m)
	const step = 32
	for ; exp >= step; exp -= step {
		s += fmt.Sprintf(" * %d.0", int64(1)<<step)
	}
	for ; exp <= -step; exp += step {
		s += fmt.Sprintf(" / %d.0", int64(1)<<step)
	}
	if exp > 0 {
		s += fmt.Sprintf(" * %d.0", int64(1)<<exp)
	} else if exp < 0 {
		s += fmt.Sprintf(" / %d.0", int64(1)<<-exp)
	}
	return s + ")"
}
