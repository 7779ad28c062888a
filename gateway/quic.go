package gateway

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A quicListener serves HTTP/3 on the UDP port beside a TCP listener.
type quicListener struct {
	conn   net.PacketConn
	server *http3.Server
	tasks  sync.WaitGroup
	once   sync.Once
}

func openQUIC(g *Gateway, address string) (*quicListener, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP/3 on UDP %s: %w", address, err)
	}
	return &quicListener{conn: conn, server: &http3.Server{
		TLSConfig:      http3.ConfigureTLSConfig(g.certs.tlsConfig(0)),
		MaxHeaderBytes: 64 << 10,
		Port:           portOf(address),
	}}, nil
}

func (q *quicListener) start(s *server) {
	c := &s.gateway.Config().Server
	q.server.Handler = s
	q.server.IdleTimeout = c.Timeouts.Idle.D()
	q.server.MaxHeaderBytes = int(c.Limits.Header)
	q.server.QUICConfig = &quic.Config{MaxIncomingStreams: int64(c.Limits.Streams), HandshakeIdleTimeout: 5 * time.Second}
	q.server.ConnContext = func(context.Context, *quic.Conn) context.Context { return newConnContext(s.gateway.base) }
	q.tasks.Go(func() { _ = q.server.Serve(q.conn) })
}

func (q *quicListener) shutdown(ctx context.Context) error { return q.server.Shutdown(ctx) }

func (q *quicListener) close() {
	q.once.Do(func() {
		_ = q.server.Close()
		_ = q.conn.Close()
	})
	q.tasks.Wait()
}
