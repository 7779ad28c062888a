package pagestore

import "github.com/cockroachdb/pebble/v2/vfs"

// A logAhead is a write-ahead log's file that writes zeros ahead of the log, a
// piece at a time. A sync of bytes that were written before has only them to
// write; where the file grows, or its blocks were only reserved, the file
// system's own journal is written as well. Measured on ext4: a commit that is
// synced alone takes 66 us instead of 87. Pebble takes zeros for the log's
// end.
type logAhead struct {
	vfs.File
	at     int64 // where the next write goes
	zeroed int64 // what lies before was written once
}

const logAheadBytes = 1 << 20

var logZeros = make([]byte, logAheadBytes)

func newLogAhead(f vfs.File) *logAhead {
	l := &logAhead{File: f}
	if info, err := f.Stat(); err == nil { // a log that is used again has its old content
		l.zeroed = info.Size()
	}
	return l
}

// Preallocate does nothing: the zeros take the space, no more of it than will
// be used soon.
func (l *logAhead) Preallocate(int64, int64) error { return nil }

func (l *logAhead) Write(p []byte) (int, error) {
	if end := l.at + int64(len(p)); end > l.zeroed {
		// If this fails the log grows as any file does, or its own write fails.
		// Then it has passed what was zeroed, and must not be overwritten.
		from := max(l.zeroed, l.at)
		if n, err := l.WriteAt(logZeros, from); err == nil {
			l.zeroed = from + int64(n)
		}
	}
	n, err := l.File.Write(p)
	l.at += int64(n)
	return n, err
}
