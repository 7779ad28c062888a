package gateway

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hako-run/hako/config"
)

// An acceptor takes connections from one address, as many as the gateway's slots
// allow. Its socket stays open for as long as the address is configured.
type acceptor struct {
	gateway  *Gateway
	config   config.Listen
	socket   net.Listener
	stopped  chan struct{} // closed when no connection is accepted any more
	stopOnce sync.Once
}

// acceptors opens the sockets of an address.
func (g *Gateway) acceptors(want config.Listen) (list []*acceptor, err error) {
	sockets, err := g.listen(want)
	for _, socket := range sockets {
		list = append(list, &acceptor{gateway: g, config: want, socket: socket, stopped: make(chan struct{})})
	}
	return list, err
}

func (a *acceptor) address() string {
	if a.socket.Addr().Network() == "unix" {
		return "unix:" + a.socket.Addr().String()
	}
	return a.socket.Addr().String()
}

// stopAccepting closes the socket; what was accepted is served on.
func (a *acceptor) stopAccepting() {
	a.stopOnce.Do(func() {
		close(a.stopped)
		_ = a.socket.Close()
	})
}

// each passes on connections, with a slot each, until the socket is closed.
func (a *acceptor) each(serve func(net.Conn)) {
	for wait := time.Duration(0); a.gateway.slots.take(a.stopped); {
		conn, err := a.socket.Accept()
		if err == nil {
			wait = 0
			a.gateway.metrics.connections.Inc()
			serve(conn)
			continue
		}
		a.gateway.slots.give()
		select {
		case <-a.stopped:
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of descriptors, mostly: what is served gives some back.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		a.gateway.log.Warn("a connection could not be accepted", "listen", a.address(), "error", err, "again_in", wait.String())
		select {
		case <-time.After(wait):
		case <-a.stopped:
			return
		}
	}
}
