package wasi

import (
	"context"
	"math"
	"runtime"
	"time"
)

// A guest may wait for this many things at once.
const maxSubscriptions = 1 << 14

// subscription is one thing that a guest waits for.
type subscription struct {
	userdata uint64
	kind     byte
	errno    Errno // what is wrong with the subscription itself
	fd       *descriptor
	clock    uint32
	deadline int64 // on its clock
	fired    bool
	bytes    int64
	hangup   bool
	abandon  func() // gives up what was set going to be woken
}

const (
	pollClock = iota
	pollRead
	pollWrite
)

// The layout of a subscription and an event.
const (
	subscriptionSize = 48
	eventSize        = 32
)

func pollOneoff(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.pollAll(ctx, m, p, subscriptionSize, s.subscription)
}

// pollAll waits until at least one subscription is ready, and reports all that
// are.
func (s *System) pollAll(ctx context.Context, m memory, p []uint64, size uint32, parse func([]byte) subscription) Errno {
	n := uint32(p[2])
	if n == 0 || n > maxSubscriptions {
		return EINVAL
	}
	in, errno := m.bytes(uint32(p[0]), n*size)
	if errno != Success {
		return errno
	}
	out, errno := m.bytes(uint32(p[1]), n*eventSize)
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[3]), 4); errno != Success {
		return errno
	}
	var few [4]subscription
	subs := few[:0]
	if n > uint32(len(few)) {
		subs = make([]subscription, 0, n)
	}
	for i := range n {
		subs = append(subs, parse(in[i*size:][:size]))
	}
	s.wait(ctx, subs)
	events := uint32(0)
	for i := range subs {
		if sub := &subs[i]; sub.fired {
			e := out[events*eventSize:][:eventSize]
			clear(e)
			le.PutUint64(e, sub.userdata)
			le.PutUint16(e[8:], uint16(sub.errno))
			e[10] = sub.kind
			le.PutUint64(e[16:], uint64(sub.bytes))
			if sub.hangup {
				e[24] = 1
			}
			events++
		}
	}
	return m.putUint32(uint32(p[3]), events)
}

// subscription reads one as preview 1 lays it out.
func (s *System) subscription(b []byte) subscription {
	sub := subscription{userdata: le.Uint64(b), kind: b[8]}
	if sub.kind == pollClock {
		s.subscribeClock(&sub, le.Uint32(b[16:]), le.Uint64(b[24:]), le.Uint16(b[40:]))
	} else {
		s.subscribeFD(&sub, le.Uint32(b[16:]))
	}
	return sub
}

func (s *System) subscribeClock(sub *subscription, clock uint32, timeout uint64, flags uint16) {
	now, errno := s.time(clock)
	if flags > 1 {
		errno = EINVAL
	}
	if errno != Success {
		sub.errno = errno
		return
	}
	sub.clock = clock
	timeout = min(timeout, math.MaxInt64)
	switch {
	case flags == 1:
		sub.deadline = int64(timeout)
	case now > math.MaxInt64-int64(timeout):
		sub.deadline = math.MaxInt64
	default:
		sub.deadline = now + int64(timeout)
	}
}

func (s *System) subscribeFD(sub *subscription, fd uint32) {
	right := uint64(rightRead)
	if sub.kind == pollWrite {
		right = rightWrite
	}
	if sub.kind > pollWrite {
		sub.errno = EINVAL
		return
	}
	sub.fd, sub.errno = s.get(fd, right)
	if sub.errno == Success && sub.fd.dir != nil {
		sub.errno = EBADF
	}
}

// longestWait is after how long clocks are looked at again, as the host's
// time of day may be set meanwhile.
const longestWait = time.Hour

// wait marks the subscriptions that are ready, when at least one is.
func (s *System) wait(ctx context.Context, subs []subscription) {
	var w waker
	defer func() {
		for i := range subs {
			if subs[i].abandon != nil {
				subs[i].abandon()
			}
		}
	}()
	for round := 0; ; round++ {
		ready := false
		wait := longestWait
		for i := range subs {
			sub := &subs[i]
			s.check(sub, w, &wait)
			ready = ready || sub.fired
		}
		if ready {
			if round == 0 {
				stopped(ctx)
				runtime.Gosched() // a guest that polls in a loop gives way
			}
			return
		}
		if w == nil {
			// Ask again, now to be woken.
			w = newWaker()
			continue
		}
		timer, stop := s.clock.After(wait)
		Wait(ctx, func() {
			defer stop()
			select {
			case <-w:
			case <-timer:
			case <-ctx.Done():
				panic(context.Cause(ctx))
			}
		})
	}
}

// check looks whether sub is ready, and shortens wait to when its clock is.
func (s *System) check(sub *subscription, w waker, wait *time.Duration) {
	switch {
	case sub.errno != Success:
		sub.fired = true
	case sub.kind == pollClock:
		now, _ := s.time(sub.clock)
		if now >= sub.deadline {
			sub.fired = true
		} else {
			*wait = min(*wait, max(time.Duration(sub.deadline-now), time.Microsecond))
		}
	case sub.fd.file != nil:
		sub.fired = true
		sub.bytes = 1
		if st, err := sub.fd.file.Stat(); err == nil && sub.kind == pollRead {
			sub.bytes = max(st.Size-sub.fd.offset, 0)
		}
	case sub.fd.stream != nil:
		sub.checkStream(w, wait)
	default:
		sub.checkSocket(w)
	}
}

func (sub *subscription) checkStream(w waker, wait *time.Duration) {
	st := sub.fd.stream
	switch {
	case sub.kind == pollRead && st.in != nil:
		n, end := st.in.ready(w)
		if w != nil && sub.abandon == nil {
			sub.abandon = func() { st.in.forget(w) }
		}
		sub.fired = n > 0 || end
		sub.bytes, sub.hangup = int64(n), end
	case sub.kind == pollWrite && st.file != nil && !st.regular && !writable(st.file, 0):
		*wait = min(*wait, pollSlice)
	default:
		sub.fired = true
		sub.bytes = 1
		sub.hangup = sub.kind == pollRead && st.file == nil
	}
}
