package wasi

// yieldFrom gives out a listing with its indices as cookies.
func yieldFrom(entries []DirEntry, cookie uint64, yield func(DirEntry) bool) error {
	for i := cookie; i < uint64(len(entries)); i++ {
		e := entries[i]
		e.Next = i + 1
		if !yield(e) {
			break
		}
	}
	return nil
}
