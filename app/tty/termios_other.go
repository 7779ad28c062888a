//go:build !linux && !darwin

package tty

import "errors"

var errUnsupported = errors.New("terminals are not supported on this system")

func byKey(int) (func() error, error) { return nil, errUnsupported }
