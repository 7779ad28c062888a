package engine

import (
	"time"

	"github.com/hako-run/hako/wasi"
)

// LimitError ends a guest that wanted more than its [Limits] give.
type LimitError = wasi.LimitError

// ExitError ends a guest that called proc_exit.
type ExitError = wasi.ExitError

// Limits bound what a guest may use. Zero is no limit. They hold for an
// instance from its start, or since [Instance.Renew].
type Limits struct {
	// Memory is the most linear memory, in bytes; the part of a 64 KiB page
	// is not given. A guest that asks for more is told that there is none,
	// as malloc returning NULL; if it dies of that, the error says so.
	Memory int64
	// CPU is the processor time of calls, with that of host functions on the
	// guest's behalf. Waiting does not count.
	CPU time.Duration
	// Wall is the time that calls last, waiting included.
	Wall time.Duration
	// Output and Files are kept by what gives the guest its output and
	// files (package wasi); they are here so that limits travel together.
	Output int64
	Files  int
}

// Usage is what a guest has used so far.
type Usage struct {
	CPU  time.Duration // processor time of calls; of one under way, up to the last check
	Wall time.Duration // time of calls, waiting included
	// Memory is the linear memory's size, MemoryPeak the largest so far, in
	// bytes.
	Memory, MemoryPeak int64
	Output             int64 // bytes written as of the end of the last call, if a State is a Meter
	Calls              int64 // calls from outside
}
