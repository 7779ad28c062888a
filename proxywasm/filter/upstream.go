package filter

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"

	"github.com/hako-run/hako/proxywasm"
)

// traced returns a context by which a handler that passes the request on with
// net/http tells which server it goes to.
func (x *exchange) traced(ctx context.Context) context.Context {
	x.trace = httptrace.ClientTrace{GetConn: x.attempt, GotConn: x.connected}
	return httptrace.WithClientTrace(ctx, &x.trace)
}

func (x *exchange) attempt(string) {
	x.count(func(i *proxywasm.Info) { i.UpstreamAttempts++ })
}

func (x *exchange) connected(g httptrace.GotConnInfo) {
	var secure *tls.ConnectionState
	if c, ok := g.Conn.(*tls.Conn); ok {
		state := c.ConnectionState()
		secure = &state
	}
	x.count(func(i *proxywasm.Info) {
		i.Upstream, i.UpstreamLocal = addrPort(g.Conn.RemoteAddr()), addrPort(g.Conn.LocalAddr())
		i.UpstreamTLS = secure
	})
}
