package sqlite

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hako-run/hako/pagestore"
)

// fullDisk is a disk that can be full.
type fullDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *fullDisk) GetDiskUsage(dir string) (vfs.DiskUsage, error) {
	if d.full.Load() {
		return vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 1 << 40, UsedBytes: 1<<40 - 1000}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41, UsedBytes: 1 << 40}, nil
}

// set changes the disk and waits until the store has seen it.
func (d *fullDisk) set(full bool) {
	d.full.Store(full)
	time.Sleep(150 * time.Millisecond)
}

func TestFullDiskFailsTheCommitAndNothingElse(t *testing.T) {
	disk := &fullDisk{FS: vfs.Default}
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(Detach(s), s.Close()); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"shop", "blog"} {
		if _, err := s.Create(name, pagestore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	db, err := OpenDB(s, "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exec(t, c, "ATTACH 'blog' AS blog", "CREATE TABLE a(x)", "CREATE TABLE blog.b(x)", "INSERT INTO a VALUES (1)")
	disk.set(true)
	for _, statements := range [][]string{
		{"INSERT INTO a VALUES (2)"},
		{"BEGIN", "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)", "COMMIT"},
	} {
		last := len(statements) - 1
		exec(t, c, statements[:last]...)
		_, err := c.ExecContext(context.Background(), statements[last])
		if !errors.Is(err, pagestore.ErrDiskFull) || codeOf(t, err) != 13 {
			t.Errorf("%s: %v", statements[last], err)
		}
		want(t, query(t, c, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"), "1|0")
	}
	disk.set(false)
	exec(t, c, "BEGIN", "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)", "COMMIT")
	want(t, query(t, c, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)"), "2|1")
	integrity(t, c)
}
