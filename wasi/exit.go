package wasi

import "fmt"

// An ExitError ends a guest that called proc_exit. Code 0 is success; callers
// that run a program to its end treat it so.
type ExitError struct {
	Code uint32 // what the guest gave proc_exit
}

func (e *ExitError) Error() string { return fmt.Sprintf("guest exited with code %d", e.Code) }
