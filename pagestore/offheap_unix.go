//go:build unix

package pagestore

import "golang.org/x/sys/unix"

// allocOffHeap returns zeroed memory that the garbage collector neither scans
// nor counts; pages of it take real memory only once written.
func allocOffHeap(n int) ([]byte, func() error, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
