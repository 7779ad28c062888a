package worker

// primed are the sizes of small objects, in bytes, about as Go's allocator
// classes them.
var primed = [...]int{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256,
	288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048,
}

// prime makes objects of each size, with pointers and without: afterwards the
// allocator has room for more of each at hand, and a fork need not look for it.
func prime() {
	for _, n := range primed {
		sink.bytes = make([]byte, n)
		sink.pointers = make([]*byte, (n+7)/8)
	}
	sink.bytes, sink.pointers = nil, nil
}

// sink keeps objects on the heap.
var sink struct {
	bytes    []byte
	pointers []*byte
}
