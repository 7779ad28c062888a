package wasi

// memFile is an open file of a MemoryFS.
type memFile struct {
	fs     *MemoryFS
	n      *memNode
	closed bool
}

func (f *memFile) Stat() (Stat, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.n.st, nil
}

func (f *memFile) SetTimes(t Times) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.setTimes(t)
	return nil
}

func (f *memFile) Sync(bool) error { return nil }

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return EBADF
	}
	f.closed = true
	f.n.open--
	f.fs.release(f.n)
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < 0 {
		return 0, EINVAL
	}
	if off >= int64(len(f.n.data)) {
		return 0, nil
	}
	return copy(p, f.n.data[off:]), nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.write(p, off)
}

func (f *memFile) write(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) < 0 {
		return 0, EINVAL
	}
	if len(p) == 0 {
		return 0, nil
	}
	if end := off + int64(len(p)); end > int64(len(f.n.data)) {
		if err := f.fs.resize(f.n, end); err != nil {
			return 0, err
		}
	}
	f.fs.changed(f.n)
	return copy(f.n.data[off:], p), nil
}

func (f *memFile) Append(p []byte) (int, int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n, err := f.write(p, int64(len(f.n.data)))
	return n, int64(len(f.n.data)), err
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.resize(f.n, size)
}

func (f *memFile) Allocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off+n <= int64(len(f.n.data)) {
		return nil
	}
	return f.fs.resize(f.n, off+n)
}
