//go:build !unix

package pagestore

func allocOffHeap(n int) ([]byte, func() error, error) {
	return make([]byte, n), nil, nil
}
