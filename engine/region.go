package engine

// A backing is a way to hold linear memories and their frozen images. Linux
// maps them (region_linux.go); elsewhere they are plain bytes
// (region_heap.go). Tests run both.
type backing interface {
	// reserve makes a region that can grow to max bytes, or to fewer if the
	// machine has no room for that; its size is 0.
	reserve(max uint64) (region, error)
	// freeze copies a memory into an image.
	freeze(memory []byte) (image, error)
	// guarded reports whether all that a guest can reach from a region's
	// beginning on and is not in the region is inaccessible.
	guarded() bool
}

// A region holds one linear memory. It belongs to one goroutine at a time.
type region interface {
	// bytes returns the first size bytes; those never written are zero. It
	// fails if size is more than was reserved. Earlier results may be
	// invalid afterwards.
	bytes(size uint64) ([]byte, error)
	// load makes the beginning of a region whose size is 0 a private copy of
	// the image, made by the backing that made the region, and its size that
	// of the image.
	load(img image) error
	// reset forgets everything written since load and makes the size that of
	// the image again. The region is to be freed if it fails.
	reset() error
	// room is how many bytes were reserved.
	room() uint64
	free()
}

// An image is a frozen memory. It never changes and is safe for concurrent
// use.
type image interface {
	size() uint64   // of the memory
	stored() uint64 // bytes kept; those after them are zero
	free()
}

// zeroTail returns b without the zero bytes at its end, in steps of 64 KiB.
func zeroTail(b []byte) []byte {
	const step = 64 << 10
	for len(b) >= step && isZero(b[len(b)-step:]) {
		b = b[:len(b)-step]
	}
	return b
}

func isZero(b []byte) bool {
	const step = 4096
	for len(b) > step {
		if string(b[:step]) != string(zeroPage[:]) {
			return false
		}
		b = b[step:]
	}
	return string(b) == string(zeroPage[:len(b)])
}

var zeroPage [4096]byte
