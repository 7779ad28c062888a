package wasi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// All that is claimed is given back when the files are gone.
func TestMemoryRoom(t *testing.T) {
	m := NewMemoryFS(1 << 20)
	d := m.Root()
	begin := m.used
	create := OpenWrite | OpenCreate
	n, err := d.Open("f", create)
	if err != nil {
		t.Fatal(err)
	}
	f := n.(File)
	if err := f.Truncate(1 << 30); !errors.Is(err, ENOSPC) {
		t.Errorf("a file of 1 GiB in 1 MiB: %v", err)
	}
	if _, err := f.WriteAt([]byte("x"), 1<<62); !errors.Is(err, ENOSPC) {
		t.Errorf("a byte far out: %v", err)
	}
	wrote := 0
	for {
		if _, _, err := f.Append(make([]byte, 1000)); err != nil {
			if !errors.Is(err, ENOSPC) {
				t.Error(err)
			}
			break
		}
		wrote += 1000
	}
	if wrote < 1<<20*9/10 || wrote > 1<<20 {
		t.Errorf("%d bytes fit in 1 MiB", wrote)
	}
	if err := d.Unlink("f"); err != nil {
		t.Fatal(err)
	}
	if m.used < int64(wrote) {
		t.Error("the room of a file that is open was given back")
	}
	f.Close()
	if m.used != begin {
		t.Errorf("%d bytes are claimed by nothing", m.used-begin)
	}
	for i := 0; ; i++ { // names cost too
		if err := d.Symlink("target", fmt.Sprint("link", i)); err != nil {
			if !errors.Is(err, ENOSPC) || i > 1<<20/memNodeCost {
				t.Errorf("%d links, then %v", i, err)
			}
			break
		}
	}
}

// Random changes: the room claimed is the room of what is there.
func TestMemoryRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	m := NewMemoryFS(1 << 18)
	root := m.Root()
	begin := m.used
	name := func() string {
		s := string(rune('a' + r.IntN(4)))
		for r.IntN(2) == 0 {
			s += "/" + string(rune('a'+r.IntN(4)))
		}
		return s
	}
	var open []File
	for range 20000 {
		switch r.IntN(9) {
		case 0:
			root.Mkdir(name())
		case 1:
			root.Rmdir(name())
		case 2:
			root.Unlink(name())
		case 3:
			root.Rename(name(), root, name())
		case 4:
			root.Link(name(), false, root, name())
		case 5:
			root.Symlink(name(), name())
		case 6:
			if n, err := root.Open(name(), OpenWrite|OpenCreate); err == nil {
				if f, ok := n.(File); ok {
					open = append(open, f)
				}
			}
		case 7:
			if len(open) > 0 {
				open[r.IntN(len(open))].WriteAt(make([]byte, r.IntN(3000)), int64(r.IntN(3000)))
			}
		case 8:
			if len(open) > 0 {
				i := r.IntN(len(open))
				open[i].Close()
				open = append(open[:i], open[i+1:]...)
			}
		}
	}
	for _, f := range open {
		f.Close()
	}
	var empty func(d Dir)
	empty = func(d Dir) {
		var names []DirEntry
		d.ReadDir(2, func(e DirEntry) bool {
			names = append(names, e)
			return true
		})
		for _, e := range names {
			if e.Type != TypeDirectory {
				if err := d.Unlink(e.Name); err != nil {
					t.Errorf("unlink %s: %v", e.Name, err)
				}
				continue
			}
			sub, err := d.Open(e.Name, OpenRead)
			if err != nil {
				t.Fatal(err)
			}
			empty(sub.(Dir))
			if err := d.Rmdir(e.Name); err != nil {
				t.Errorf("rmdir %s: %v", e.Name, err)
			}
		}
	}
	empty(root)
	if m.used != begin {
		t.Errorf("%d bytes are claimed by nothing", m.used-begin)
	}
	if st, _ := root.Stat(); st.Nlink != 2 {
		t.Errorf("the empty root has %d links", st.Nlink)
	}
}

// A MemoryFS and a directory of the host are shared by many at once.
func TestSharedDirs(t *testing.T) {
	g, err := OpenGrants(GrantConfig{
		Dirs:   []DirGrant{{Host: t.TempDir(), Guest: "/host"}},
		Mounts: []Mount{{Dir: NewMemoryFS(1 << 20).Root(), Guest: "/memory"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 50 {
				s, err := NewSystem(Config{Grants: g})
				if err != nil {
					t.Error(err)
					return
				}
				for _, fd := range []uint32{3, 4} {
					d := s.table[fd].dir
					name := fmt.Sprintf("f-%d", worker)
					n, err := d.Open(name, OpenWrite|OpenRead|OpenCreate|OpenTruncate)
					if err != nil {
						t.Error(err)
						continue
					}
					f := n.(File)
					f.WriteAt([]byte(name), int64(i))
					b := make([]byte, len(name))
					if _, err := f.ReadAt(b, int64(i)); err != nil && err != io.EOF || !bytes.Equal(b, []byte(name)) {
						t.Errorf("read %q, %v", b, err)
					}
					d.ReadDir(0, func(DirEntry) bool { return true })
					d.Rename(name, d, name+"-moved")
					f.Close()
				}
				s.Close()
			}
		})
	}
	wg.Wait()
	s, err := NewSystem(Config{Grants: g})
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	if _, err := NewSystem(Config{Grants: g}); err == nil {
		t.Error("a System of closed grants")
	}
	if _, err := s.table[3].dir.Stat(); err != nil {
		t.Errorf("the last System lost its directory: %v", err)
	}
	s.Close()
	if _, err := g.mounts[0].Dir.Stat(); errnoOf(err) != EBADF {
		t.Errorf("the directory is open still: %v", err)
	}
}

func TestDevices(t *testing.T) {
	d := newDevDir(&System{random: bytes.NewReader(bytes.Repeat([]byte{7}, 100)), clock: realClock{}})
	read := func(name string) string {
		n, err := d.Open(name, OpenRead|OpenWrite|OpenCreate|OpenTruncate)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		got, err := n.(File).ReadAt(b, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:got])
	}
	for name, want := range map[string]string{"null": "", "zero": "\x00\x00\x00", "full": "\x00\x00\x00", "urandom": "\a\a\a"} {
		if got := read(name); got != want {
			t.Errorf("%s gives %q, want %q", name, got, want)
		}
	}
	n, _ := d.Open("full", OpenWrite)
	if _, err := n.(File).WriteAt([]byte("x"), 0); err != ENOSPC {
		t.Errorf("full: %v", err)
	}
	for name, want := range map[string]Errno{"..": EPERM, "none": ENOENT, "null/x": ENOTDIR, "../null": EPERM} {
		if _, err := d.Open(name, OpenRead); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := d.Open("new", OpenWrite|OpenCreate); err != EROFS {
		t.Errorf("a new device: %v", err)
	}
}
