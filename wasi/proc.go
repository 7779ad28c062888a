package wasi

import (
	"context"
	"io"
	"runtime"
)

func argsGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	return m.putStrings(uint32(p[0]), uint32(p[1]), s.c.Args)
}

func argsSizesGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	return m.putSizes(uint32(p[0]), uint32(p[1]), s.c.Args)
}

func environGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	return m.putStrings(uint32(p[0]), uint32(p[1]), s.c.Env)
}

func environSizesGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	return m.putSizes(uint32(p[0]), uint32(p[1]), s.c.Env)
}

// putStrings writes strings, each with a zero byte behind it, to data and
// their addresses to list.
func (m memory) putStrings(list, data uint32, all []string) Errno {
	pointers, errno := m.bytes(list, uint32(4*len(all)))
	if errno != Success {
		return errno
	}
	for i, s := range all {
		b, errno := m.bytes(data, uint32(len(s)+1))
		if errno != Success {
			return errno
		}
		copy(b, s)
		b[len(s)] = 0
		le.PutUint32(pointers[4*i:], data)
		data += uint32(len(b))
	}
	return Success
}

func (m memory) putSizes(count, bytes uint32, all []string) Errno {
	n := 0
	for _, s := range all {
		n += len(s) + 1
	}
	if errno := m.putUint32(count, uint32(len(all))); errno != Success {
		return errno
	}
	return m.putUint32(bytes, uint32(n))
}

// The clocks of preview 1.
const (
	clockRealtime = iota
	clockMonotonic
	clockProcess
	clockThread
)

// time reads one of the clocks that go on while a guest waits.
func (s *System) time(clock uint32) (int64, Errno) {
	switch clock {
	case clockRealtime:
		return s.clock.Realtime(), Success
	case clockMonotonic:
		return s.clock.Monotonic(), Success
	case clockProcess, clockThread:
		return 0, ENOTSUP
	}
	return 0, EINVAL
}

// cpuTime is the time that the guest's program has run.
func (s *System) cpuTime(ctx context.Context) int64 {
	if s.c.CPUTime != nil {
		return int64(s.c.CPUTime(ctx))
	}
	return s.clock.Monotonic() - s.born
}

func clockResGet(_ context.Context, _ *System, m memory, p []uint64) Errno {
	if uint32(p[0]) > clockThread {
		return EINVAL
	}
	return m.putUint64(uint32(p[1]), 1)
}

func clockTimeGet(ctx context.Context, s *System, m memory, p []uint64) Errno {
	clock := uint32(p[0])
	if clock == clockProcess || clock == clockThread {
		return m.putUint64(uint32(p[2]), uint64(s.cpuTime(ctx)))
	}
	now, errno := s.time(clock)
	if errno != Success {
		return errno
	}
	return m.putUint64(uint32(p[2]), uint64(now))
}

// randomGet fills in parts, so that a guest with gigabytes can be stopped.
func randomGet(ctx context.Context, s *System, m memory, p []uint64) Errno {
	b, errno := m.bytes(uint32(p[0]), uint32(p[1]))
	if errno != Success {
		return errno
	}
	for len(b) > 0 {
		part := b[:min(len(b), 1<<20)]
		if _, err := io.ReadFull(s.random, part); err != nil {
			return EIO
		}
		if b = b[len(part):]; len(b) > 0 {
			stopped(ctx)
		}
	}
	return Success
}

func procExit(_ context.Context, _ *System, _ memory, p []uint64) Errno {
	panic(&ExitError{Code: uint32(p[0])})
}

// procRaise has no handlers to call. A signal that would end a program ends it
// with the code that a shell would show.
func procRaise(_ context.Context, _ *System, _ memory, p []uint64) Errno {
	switch signal := uint32(p[0]); signal {
	case 0, 16, 17, 22, 27: // none, CHLD, CONT, URG, WINCH: ignored unless handled
		return Success
	case 18, 19, 20, 21: // STOP, TSTP, TTIN, TTOU
		return ENOTSUP
	default:
		if signal > 30 {
			return EINVAL
		}
		panic(&ExitError{Code: 128 + hostSignal[signal]})
	}
}

// hostSignal has the numbers of Linux for preview 1's, which lack STKFLT.
var hostSignal = [31]uint32{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
}

func schedYield(ctx context.Context, _ *System, _ memory, _ []uint64) Errno {
	stopped(ctx)
	runtime.Gosched()
	return Success
}
