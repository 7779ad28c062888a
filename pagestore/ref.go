package pagestore

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Version numbers the commits of one database: 1, 2, 3, ...; 0 is the state
// before the first commit.
type Version uint64

// RefKind tells how a Ref picks its version.
type RefKind uint8

const (
	RefHead    RefKind = iota // the newest version when it is resolved
	RefVersion                // a number
	RefTime                   // the version that was the newest at a time
	RefAgo                    // the version that was the newest a while ago
	RefTag                    // the version that a tag names
)

// A Ref names a snapshot: a database and a way to pick one of its versions.
// The zero Kind is the head.
type Ref struct {
	Database string
	Kind     RefKind
	Version  Version       // for RefVersion
	Time     time.Time     // for RefTime
	Ago      time.Duration // for RefAgo, positive
	Tag      string        // for RefTag
}

// MaxName is the longest name of a database or tag, in bytes.
const MaxName = 128

// CheckName returns an error that tells what is wrong with a database's name,
// if anything: names are 1 to MaxName bytes of letters, digits, '.', '_' and
// '-' and begin with a letter, a digit or '_'.
func CheckName(name string) error {
	return checkName("database", name)
}

// CheckTag is CheckName for tags. A tag also must not read as a version, a
// time or "head".
func CheckTag(tag string) error {
	if err := checkName("tag", tag); err != nil {
		return err
	}
	if c := tag[0]; c >= '0' && c <= '9' {
		return detailf(ErrName, "tag %q begins with a digit and would read as a version or a time", tag)
	}
	if tag == "head" {
		return detailf(ErrName, "%q always names the newest version", tag)
	}
	return nil
}

const nameHint = "use a to z, A to Z, 0 to 9, '.', '_' and '-'"

func checkName(what, name string) error {
	if name == "" {
		return detailf(ErrName, "the name of a %s is empty", what)
	}
	if len(name) > MaxName {
		return detailf(ErrName, "%s name %.20q... is longer than %d bytes", what, name, MaxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > 0 && (c == '-' || c == '.'):
		case i == 0 && (c == '-' || c == '.'):
			return detailf(ErrName, "%s name %q begins with %q: begin it with a letter or a digit", what, name, c)
		default:
			r, n := utf8.DecodeRuneInString(name[i:])
			if r == utf8.RuneError && n == 1 {
				return detailf(ErrName, "%s name %q is not UTF-8: %s", what, name, nameHint)
			}
			return detailf(ErrName, "%s name %q holds %q: %s", what, name, name[i:i+n], nameHint)
		}
	}
	return nil
}

// ParseRef reads a snapshot's written form: NAME for the head, NAME@42,
// NAME@2026-11-22T10:00:00Z (or a date, or a time without a zone, which is
// local, or what FormatTime writes), NAME@-10m (units s, m, h, d, w and their sums, as in -1d12h),
// NAME@TAG, NAME@head.
func ParseRef(s string) (Ref, error) {
	name, at, found := strings.Cut(s, "@")
	if err := CheckName(name); err != nil {
		return Ref{}, err
	}
	r := Ref{Database: name}
	if !found {
		return r, nil
	}
	err := r.parseAt(at)
	if err != nil {
		return Ref{}, fmt.Errorf("snapshot %q: %w", s, err)
	}
	return r, nil
}

// ParseAt reads what follows the '@' of a snapshot of the named database.
func ParseAt(database, at string) (Ref, error) {
	r := Ref{Database: database}
	err := r.parseAt(at)
	return r, err
}

const atHint = "write a version (42), a time (2026-11-22T10:00:00Z), an age (-10m) or a tag"

func (r *Ref) parseAt(at string) error {
	switch {
	case at == "":
		return detailf(ErrSyntax, "nothing follows the '@': %s", atHint)
	case at == "head":
		r.Kind = RefHead
		return nil
	case at[0] == '-':
		d, err := ParseDuration(at[1:])
		if err != nil {
			return detailf(ErrSyntax, "%v", err)
		}
		r.Kind, r.Ago = RefAgo, d
		return nil
	case at[0] >= '0' && at[0] <= '9':
		if v, err := strconv.ParseUint(at, 10, 64); err == nil {
			r.Kind, r.Version = RefVersion, Version(v)
			return nil
		}
		if t, ok := parseTime(at); ok {
			r.Kind, r.Time = RefTime, t
			return nil
		}
		return detailf(ErrSyntax, "%q is neither a version nor a time: %s", at, atHint)
	default:
		if err := CheckTag(at); err != nil {
			return detailf(ErrSyntax, "%w", err)
		}
		r.Kind, r.Tag = RefTag, at
		return nil
	}
}

// String returns the written form; ParseRef(r.String()) gives r again.
func (r Ref) String() string {
	switch r.Kind {
	case RefVersion:
		return fmt.Sprintf("%s@%d", r.Database, r.Version)
	case RefTime:
		return r.Database + "@" + r.Time.UTC().Format(time.RFC3339Nano)
	case RefAgo:
		return r.Database + "@-" + FormatDuration(r.Ago)
	case RefTag:
		return r.Database + "@" + r.Tag
	}
	return r.Database
}

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"ms", time.Millisecond},
	{"us", time.Microsecond}, {"ns", time.Nanosecond}, {"m", time.Minute}, {"s", time.Second},
}

// ParseDuration reads an age such as 10m, 1d12h or 2w: whole numbers with the
// units w, d, h, m, s, ms, us, ns. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not an age: write it as 10m, 36h, 30d or 2w", s)
	if s == "" {
		return 0, bad
	}
	var total time.Duration
	for rest := s; rest != ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil {
			return 0, bad
		}
		rest = rest[i:]
		var unit time.Duration
		for _, u := range durationUnits {
			if strings.HasPrefix(rest, u.name) {
				unit, rest = u.unit, rest[len(u.name):]
				break
			}
		}
		if unit == 0 {
			return 0, bad
		}
		if n > int64((1<<63-1-total)/unit) {
			return 0, fmt.Errorf("%q is more than 292 years", s)
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}

// FormatDuration writes d so that ParseDuration reads it back.
func FormatDuration(d time.Duration) string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range [...]int{0, 1, 2, 6, 7, 3, 4, 5} {
		unit := durationUnits[u]
		if unit.name == "w" && d%unit.unit != 0 { // 30d reads better than 4w2d
			continue
		}
		if n := d / unit.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.unit
		}
	}
	return b.String()
}

// A Retention tells how much history trimming leaves. The zero value keeps
// all.
type Retention struct {
	Age   time.Duration // keep what was the head within this time
	Count uint64        // keep this many versions
}

// ParseRetention reads "all", an age ("30d") or a number of versions ("1000").
func ParseRetention(s string) (Retention, error) {
	if s == "all" || s == "" {
		return Retention{}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n == 0 {
			return Retention{}, fmt.Errorf("cannot keep 0 versions: the newest always stays, so the least is 1")
		}
		return Retention{Count: n}, nil
	}
	d, err := ParseDuration(s)
	if err != nil {
		return Retention{}, fmt.Errorf("retention %q is none of an age (30d), a number of versions (1000) and all", s)
	}
	if d == 0 {
		return Retention{}, fmt.Errorf("cannot keep an age of 0: to keep the newest version alone, say 1")
	}
	return Retention{Age: d}, nil
}

// All reports whether nothing is to be trimmed.
func (r Retention) All() bool { return r == Retention{} }

// String returns the form that ParseRetention reads.
func (r Retention) String() string {
	switch {
	case r.Count > 0:
		return strconv.FormatUint(r.Count, 10)
	case r.Age > 0:
		return FormatDuration(r.Age)
	}
	return "all"
}
