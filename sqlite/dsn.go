package sqlite

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/hako-run/hako/pagestore"
)

// A Locking tells how write transactions of a connection keep from colliding.
type Locking string

const (
	// LockingWriter makes writers of a database queue, as with a file.
	LockingWriter Locking = "writer"
	// LockingOptimistic lets them run side by side; a commit fails with
	// pagestore.ErrConflict if another one changed what it rests on.
	LockingOptimistic Locking = "optimistic"
)

// config is what a data source name says.
type config struct {
	dir      string
	ref      pagestore.Ref
	refText  string
	locking  Locking
	create   bool
	readOnly bool
	driver   url.Values // for modernc.org/sqlite
}

// ErrDSN is returned, wrapped, for a data source name that makes no sense.
var ErrDSN = errors.New("invalid data source name")

// parseDSN reads hako:SNAPSHOT?store=DIR&...
func parseDSN(dsn string) (*config, error) {
	c, err := parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrDSN, dsn, err)
	}
	return c, nil
}

func parse(dsn string) (*config, error) {
	name, query, _ := strings.Cut(strings.TrimPrefix(dsn, "hako:"), "?")
	if strings.Contains(name, "%") {
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			return nil, err
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	c := &config{refText: name, locking: LockingWriter, driver: url.Values{}}
	if c.ref, err = pagestore.ParseRef(name); err != nil {
		return nil, err
	}
	for key, list := range values {
		value := list[len(list)-1]
		switch key {
		case "store":
			c.dir = value
		case "locking":
			err = c.setLocking(Locking(value))
		case "create":
			if c.create, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("create=%s: write 1 or 0", value)
			}
		case "mode":
			err = c.setMode(value)
		default:
			if !strings.HasPrefix(key, "_") {
				return nil, fmt.Errorf("unknown parameter %q: known are store, locking, create, mode and those of modernc.org/sqlite that begin with '_'", key)
			}
			c.driver[key] = list
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *config) setLocking(l Locking) error {
	switch l {
	case LockingWriter, LockingOptimistic:
		c.locking = l
		return nil
	case "":
		c.locking = LockingWriter
		return nil
	}
	return fmt.Errorf("locking=%s: write writer or optimistic", l)
}

func (c *config) setMode(mode string) error {
	switch mode {
	case "ro":
		c.readOnly = true
	case "rw":
	case "rwc":
		c.create = true
	default:
		return fmt.Errorf("mode=%s: write ro, rw or rwc", mode)
	}
	return nil
}

// driverDSN returns the data source name for modernc.org/sqlite.
func (c *config) driverDSN(vfs, name string, connection uintptr) string {
	q := url.Values{}
	for k, v := range c.driver {
		q[k] = v
	}
	q.Set("vfs", vfs)
	q.Set("hako_session", strconv.FormatUint(uint64(connection), 10))
	if c.create {
		q.Set("create", "1")
	}
	if c.readOnly {
		q.Set("mode", "ro")
	}
	return "file:" + url.PathEscape(name) + "?" + q.Encode()
}
