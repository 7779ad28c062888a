package pagestore

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A fickleFile fails every other WriteAt.
type fickleFile struct {
	vfs.File
	calls int
}

func (f *fickleFile) WriteAt(p []byte, off int64) (int, error) {
	if f.calls++; f.calls%2 == 1 {
		return 0, errors.New("no space left for so much")
	}
	return f.File.WriteAt(p, off)
}

// TestLogAhead writes a log where the zeros ahead of it cannot always be
// written: they never cover what the log holds.
func TestLogAhead(t *testing.T) {
	for _, fickle := range []bool{false, true} {
		fs := vfs.NewMem()
		file, err := fs.Create("000001.log", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if fickle {
			file = &fickleFile{File: file}
		}
		l := newLogAhead(file)
		var want []byte
		for i := range 300 {
			p := bytes.Repeat([]byte{byte(i%255 + 1)}, 10_007)
			want = append(want, p...) // first: MemFS may scribble on p to catch those who rely on it
			if n, err := l.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := fs.Open("000001.log")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
			t.Errorf("fickle %v: the log is not what was written", fickle)
		}
		if len(got) > len(want)+logAheadBytes {
			t.Errorf("fickle %v: %d bytes of zeros", fickle, len(got)-len(want))
		}
		r.Close()
	}
}
