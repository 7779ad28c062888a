package wasi

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// archive is an fs.FS whose files can be read from their beginning only.
func archive(t *testing.T) fs.FS {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"a.txt", "d/b.txt", "d/e/c.txt"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte("content of " + name))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFSDir(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"archive": archive(t),
		"map": fstest.MapFS{
			"a.txt":     {Data: []byte("content of a.txt")},
			"d/b.txt":   {Data: []byte("content of d/b.txt")},
			"d/e/c.txt": {Data: []byte("content of d/e/c.txt")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := FSDir(fsys)
			n, err := top.Open("d/../d/b.txt", OpenRead)
			if err != nil {
				t.Fatal(err)
			}
			f := n.(File)
			b := make([]byte, 100)
			for range 2 { // backwards too
				got, err := f.ReadAt(b, 11)
				if err != nil || string(b[:got]) != "d/b.txt" {
					t.Errorf("read %q, %v", b[:got], err)
				}
			}
			if got, err := f.ReadAt(b, 1000); got != 0 || err != nil {
				t.Errorf("behind the end: %d, %v", got, err)
			}
			if st, err := f.Stat(); err != nil || st.Size != 18 || st.Type != TypeRegular || st.Ino == 0 {
				t.Errorf("stat %+v, %v", st, err)
			}
			if _, err := f.WriteAt(b, 0); err != EROFS {
				t.Errorf("write: %v", err)
			}
			f.Close()

			sub, err := top.Open("d", OpenRead|OpenDirectory)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			var second uint64
			if err := sub.(Dir).ReadDir(0, func(e DirEntry) bool {
				names = append(names, e.Name)
				if e.Name == ".." {
					second = e.Next
				}
				return true
			}); err != nil {
				t.Error(err)
			}
			if got := strings.Join(names, " "); got != ". .. b.txt e" {
				t.Errorf("names %q", got)
			}
			names = nil
			sub.(Dir).ReadDir(second, func(e DirEntry) bool {
				names = append(names, e.Name)
				return false
			})
			if len(names) != 1 || names[0] != "b.txt" {
				t.Errorf("from the second cookie: %q", names)
			}

			for name, want := range map[string]Errno{
				"none": ENOENT, "a.txt/x": ENOTDIR, "a.txt/": ENOTDIR, "..": EPERM, "d/../../a.txt": EPERM, "a.txt/../a.txt": ENOTDIR,
			} {
				if _, err := top.Open(name, OpenRead); errnoOf(err) != want {
					t.Errorf("open %s: %v, want %v", name, err, want)
				}
			}
			if _, err := sub.(Dir).Lookup("../a.txt", true); errnoOf(err) != EPERM {
				t.Errorf("above a directory: %v", err)
			}
			if _, err := top.Readlink("a.txt"); errnoOf(err) != EINVAL {
				t.Errorf("readlink: %v", err)
			}
			if _, err := top.Open("a.txt", OpenRead|OpenDirectory); errnoOf(err) != ENOTDIR {
				t.Errorf("a file as a directory: %v", err)
			}
		})
	}
}
