package wasi

import "fmt"

// CanFreeze tells why another System of the same Config would not do in place
// of this one between two calls of the guest: the guest has something open that
// it was not given. It is nil if it would do.
func (s *System) CanFreeze() error {
	for fd, d := range s.table {
		switch {
		case d == nil || d.stream != nil || d.preopen != "":
		case d.file != nil:
			return fmt.Errorf("the guest has a file open (descriptor %d)", fd)
		case d.dir != nil:
			return fmt.Errorf("the guest has a directory open (descriptor %d)", fd)
		default:
			return fmt.Errorf("the guest has a socket open (descriptor %d)", fd)
		}
	}
	return nil
}
