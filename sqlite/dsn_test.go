package sqlite

import (
	"errors"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestParseDSN(t *testing.T) {
	c, err := parseDSN("hako:shop@-10m?store=/a%20b&locking=optimistic&create=1&_busy_timeout=7&_pragma=foreign_keys(1)&_pragma=cache_size(5)")
	if err != nil {
		t.Fatal(err)
	}
	if c.dir != "/a b" || c.locking != LockingOptimistic || !c.create || c.ref.Kind != pagestore.RefAgo || c.ref.Database != "shop" || len(c.driver["_pragma"]) != 2 {
		t.Errorf("%+v", c)
	}
	want(t, c.driverDSN("hako-1", "shop@42", 9),
		"file:shop@42?_busy_timeout=7&_pragma=foreign_keys%281%29&_pragma=cache_size%285%29&create=1&hako_session=9&vfs=hako-1")
	c, err = parseDSN("shop@2026-11-22T10:00:00%2B01:00?mode=ro")
	if err != nil || c.ref.Kind != pagestore.RefTime || !c.readOnly {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, s := range []string{"hako:shop", "shop@42?store=x", "shop?locking=optimistic&_txlock=immediate", "hako:%zz", "shop?mode=rwc&create=0", "?", "shop?vfs=unix"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, err := parseDSN(dsn)
		if err != nil {
			if !errors.Is(err, ErrDSN) {
				t.Errorf("%q: %v", dsn, err)
			}
			return
		}
		if err := pagestore.CheckName(c.ref.Database); err != nil {
			t.Errorf("%q: %v", dsn, err)
		}
		out := c.driverDSN("hako-1", c.ref.Database, 1)
		if strings.Count(out, "?") != 1 || !strings.HasPrefix(out, "file:"+c.ref.Database+"?") || !strings.Contains(out, "vfs=hako-1") {
			t.Errorf("%q: %q", dsn, out)
		}
	})
}
