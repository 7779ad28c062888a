package sqlite

import (
	"sync"
	"sync/atomic"

	"github.com/hako-run/hako/sqlite/vfscore"
)

// An openFile is what the handle in an sqlite3_file stands for.
type openFile struct {
	file vfscore.File
	main *vfscore.Main // nil if the file is no database
	conn *connection   // nil if main is nil
}

const (
	chunkLen  = 256
	maxChunks = 1 << 14 // four million files
)

// fileTable maps handles to open files. Reading takes no lock: SQLite reads
// with every page that it asks for.
type fileTable struct {
	chunks [maxChunks]atomic.Pointer[[chunkLen]atomic.Pointer[openFile]]

	mu   sync.Mutex
	free []uint32
	next uint32
}

var files fileTable

// add returns a handle for f; ok is false if there are too many.
func (t *fileTable) add(f *openFile) (h uintptr, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var i uint32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		if t.next == chunkLen*maxChunks {
			return 0, false
		}
		i = t.next
		t.next++
		if i%chunkLen == 0 {
			t.chunks[i/chunkLen].Store(new([chunkLen]atomic.Pointer[openFile]))
		}
	}
	t.chunks[i/chunkLen].Load()[i%chunkLen].Store(f)
	return uintptr(i), true
}

func (t *fileTable) get(h uintptr) *openFile { return t.chunks[h/chunkLen].Load()[h%chunkLen].Load() }

func (t *fileTable) remove(h uintptr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chunks[h/chunkLen].Load()[h%chunkLen].Store(nil)
	t.free = append(t.free, uint32(h))
}
