package gateway

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// A streamListener is one address of a stream. Connections go on when no stream
// has it any more.
type streamListener struct {
	*acceptor
	stream atomic.Pointer[stream] // in force

	started bool // under Gateway.mu
	task    sync.WaitGroup
}

// A streamSocket is a listener and what is to be in force on it.
type streamSocket struct {
	listener *streamListener
	stream   *stream
}

// openStreamListeners returns the listeners of a state's streams: those that
// stay, and new ones, which opened has again. g.mu is held.
func (g *Gateway) openStreamListeners(s *state) (all []streamSocket, opened []*streamListener, err error) {
	var taken []*streamListener
	for _, n := range s.streams {
		for _, want := range n.config.Listen {
			kept := len(all)
			for _, l := range g.sockets { // systemd may have passed several
				if l.config == want && !slices.Contains(taken, l) {
					all, taken = append(all, streamSocket{l, n}), append(taken, l)
					if want.Network != "systemd" { // as port 0 may be asked for twice
						break
					}
				}
			}
			if len(all) > kept {
				continue
			}
			sockets, err := g.acceptors(want)
			if err != nil {
				return nil, opened, err
			}
			for _, a := range sockets {
				l := &streamListener{acceptor: a}
				all, opened = append(all, streamSocket{l, n}), append(opened, l)
			}
		}
	}
	return all, opened, nil
}

// useStreamListeners puts listeners in force, and ends the others. g.mu is
// held.
func (g *Gateway) useStreamListeners(sockets []streamSocket) {
	old := g.sockets
	g.sockets = nil
	for _, s := range sockets {
		s.listener.stream.Store(s.stream)
		g.sockets = append(g.sockets, s.listener)
		if g.running {
			s.listener.start()
		}
	}
	for _, l := range old {
		if !slices.Contains(g.sockets, l) {
			l.stop()
		}
	}
}

// StreamAddresses returns where the gateway listens for streams, in the order
// of the configuration, as host:port or unix:path.
func (g *Gateway) StreamAddresses() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []string
	for _, l := range g.sockets {
		list = append(list, l.address())
	}
	return list
}

// drainStreams waits until the connections of streams have ended. Those that
// have not when ctx ends are cut off by Close.
func (g *Gateway) drainStreams(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		g.streamConns.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		g.log.Warn("connections of streams are cut off")
	}
}

// start begins to accept. It may be called again.
func (l *streamListener) start() {
	if !l.started {
		l.started = true
		l.task.Go(func() { l.each(l.accept) })
	}
}

// stop closes the socket. Afterwards no connection is accepted any more; those
// that were go on.
func (l *streamListener) stop() {
	l.stopAccepting()
	l.task.Wait()
}

func (l *streamListener) accept(conn net.Conn) {
	g, s := l.gateway, l.inForce()
	g.streamConns.Go(func() {
		defer g.metrics.connections.Dec()
		defer g.slots.give()
		s.serve(conn)
	})
}

// inForce returns the stream in force, with its state held.
func (l *streamListener) inForce() *stream {
	for {
		// The state of the one before is let go of when the next is stored; the
		// last when nothing is accepted any more.
		if s := l.stream.Load(); s.state.take() {
			return s
		}
	}
}
