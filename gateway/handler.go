package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/hako-run/hako/config"
)

// statusClientGone is logged where the client left before an answer; nginx
// made the number known.
const statusClientGone = 499

// A server is what one http.Server of a listener is to its requests.
type server struct {
	gateway *Gateway
	tls     bool
	unix    bool   // clients are on this machine, mostly a proxy
	altSvc  string // what offers HTTP/3, or ""
	retired atomic.Bool
	replay  *Replay // the only request, if it comes by no listener
}

// ServeHTTP is where every request comes in.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := s.gateway
	st := g.acquire()
	if st == nil {
		w.Header().Set("Connection", "close")
		http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
		return
	}
	defer st.done()
	c := &st.config.Server
	e := &exchange{w: w, server: s, state: st, request: r, began: time.Now(), uri: r.RequestURI, writeWithin: c.Timeouts.Write.D()}
	e.deadline, _ = w.(deadliner)
	e.secure = s.tls
	e.client, e.host = r.RemoteAddr, r.Host
	if s.altSvc != "" && r.ProtoMajor < 3 {
		w.Header()["Alt-Svc"] = []string{s.altSvc}
	}
	g.metrics.inFlight.Inc()
	defer func() {
		p := recover()
		cut := p != nil && !e.crash(p)
		e.finish()
		g.metrics.inFlight.Dec()
		e.record()
		if cut || e.aborted && !e.hijacked {
			panic(http.ErrAbortHandler)
		}
	}()
	s.serve(e, r)
}

// crash answers after a handler has panicked, and reports whether it still
// could.
func (e *exchange) crash(p any) bool {
	if p == http.ErrAbortHandler {
		if !e.begun {
			// An app gives up when its client does: who only was too slow, or
			// sent too much, can still be told.
			e.body.settle()
			if bad := e.body.failure(); bad != nil && bodyStatus(bad) != http.StatusBadRequest {
				e.failBody(bad)
				return true
			}
		}
		e.aborted = true
		return false
	}
	e.err = fmt.Errorf("a handler crashed: %v", p)
	e.state.gateway.log.Error("a request's handler crashed", "uri", e.uri, "panic", p, "stack", string(debug.Stack()))
	if e.begun {
		e.aborted = true
		return false
	}
	e.fail(http.StatusInternalServerError, e.err)
	return true
}

func (s *server) serve(e *exchange, r *http.Request) {
	st := e.state
	c := &st.config.Server
	s.identify(e, r)
	if r.Method == http.MethodConnect {
		e.fail(http.StatusNotImplemented, errors.New("CONNECT is not served"))
		return
	}
	// net/http lets them through where they come by HTTP/2.
	if !httpguts.ValidHeaderFieldName(r.Method) || !validHost(r.Host) {
		e.fail(http.StatusBadRequest, errors.New("the method or the host is malformed"))
		return
	}
	match, raw, ok := cleanPath(r.URL)
	if !ok {
		e.fail(http.StatusBadRequest, errors.New("the path has a zero byte, or dot segments hidden by escapes"))
		return
	}
	if c.Health != "" && match == c.Health {
		s.health(e)
		return
	}
	host := hostOf(e.host)
	rt, otherMethod := st.routes.find(host, r.Method, match)
	if rt == nil {
		if otherMethod {
			e.fail(http.StatusMethodNotAllowed, nil)
			return
		}
		e.fail(http.StatusNotFound, nil)
		return
	}
	e.route = rt
	if s.replay != nil && rt.config.App != s.replay.App {
		s.replay.refused = ErrNotReplayed
		if rt.config.App != "" {
			s.replay.refused = fmt.Errorf("run a request to app %s again: by now, app %s answers it", s.replay.App, rt.config.App)
		}
		e.fail(http.StatusNotImplemented, s.replay.refused)
		return
	}
	setPath(r.URL, match, raw)
	if rt.strip != "" && len(rt.config.Filters) == 0 && !stripPrefix(r.URL, rt.strip) {
		e.fail(http.StatusNotFound, nil)
		return
	}
	r.URL.Scheme, r.URL.Host = "", ""

	if r.Body != nil && r.Body != http.NoBody {
		e.body = &body{plain: r.Body, ReadCloser: http.MaxBytesReader(e.w, r.Body, rt.maxBody), e: e, within: c.Timeouts.Body.D()}
		r.Body = e.body
		if r.ProtoMajor == 1 && (rt.config.App != "" || rt.config.Upstream != "") {
			// The answer may begin while the client still sends.
			_ = http.NewResponseController(e.w).EnableFullDuplex()
		}
		if r.ContentLength > rt.maxBody {
			if r.ProtoMajor == 1 {
				e.w.Header().Set("Connection", "close")
			}
			e.fail(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has %d bytes, at most %d are taken", r.ContentLength, rt.maxBody))
			return
		}
	}
	if rt.cors != nil && rt.cors.preflight(e, r) {
		return
	}
	if s.replay != nil {
		e.user = s.replay.User
	} else if rt.auth != nil && !rt.auth.allow(e, r) {
		return
	}
	if rt.config.App != "" {
		e.name(r)
		if st.recorder != nil && s.replay == nil {
			st.recorder.begin(e, r)
		}
	}
	rt.request.apply(r.Header)
	ctx := r.Context()
	if rt.config.Timeout != nil {
		ctx = e.limit(ctx, rt.config.Timeout.D())
	}
	if st.tracer != nil {
		ctx = st.tracer.begin(ctx, e, r)
	}
	e.ctx = exchangeContext{ctx, e}
	r = r.WithContext(&e.ctx)
	rt.pin.ask(e, r)
	rt.metrics.inFlight.Inc()
	defer rt.metrics.inFlight.Dec()
	rt.handler.ServeHTTP(e, r)
	if !e.begun {
		e.unanswered(r)
	}
}

// unanswered ends a request whose handler wrote nothing, which is an empty 200
// unless its time was up.
func (e *exchange) unanswered(r *http.Request) {
	if r.Context().Err() != nil {
		e.body.settle()
	}
	switch bad := e.body.failure(); {
	case bad != nil:
		e.failBody(bad)
	case r.Context().Err() == nil:
		e.WriteHeader(http.StatusOK)
	case isClientGone(r):
		e.status, e.err = statusClientGone, r.Context().Err()
	default:
		e.fail(http.StatusGatewayTimeout, errRouteTimeout)
	}
}

// failBody answers where the client's body could not be read.
func (e *exchange) failBody(bad error) {
	if e.request.ProtoMajor == 1 {
		e.w.Header().Set("Connection", "close")
	}
	e.fail(bodyStatus(bad), fmt.Errorf("read the request's body: %w", bad))
}

// validHost reports whether a host could be one, with a port maybe.
func validHost(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 'A' && c <= 'Z':
		case strings.IndexByte("-._~!$&'()*+;=:[]%", c) >= 0: // RFC 3986, 3.2.2
		default:
			return false
		}
	}
	return true
}

// setPath puts the cleaned path into a request's URL.
func setPath(u *url.URL, match, raw string) {
	if raw == "" {
		return
	}
	u.RawPath = raw
	if p, err := url.PathUnescape(raw); err == nil {
		u.Path = p
	} else {
		u.Path = match
	}
}

// stripPrefix takes the beginning of a path away. It fails where the path has
// it only after escapes were resolved in a way that cannot be cut.
func stripPrefix(u *url.URL, prefix string) bool {
	cut := func(s string) (string, bool) {
		rest, ok := strings.CutPrefix(s, prefix)
		if !ok || rest != "" && rest[0] != '/' {
			return s, false
		}
		if rest == "" {
			rest = "/"
		}
		return rest, true
	}
	var ok bool
	if u.Path, ok = cut(u.Path); !ok {
		return false
	}
	if u.RawPath != "" {
		u.RawPath, ok = cut(u.RawPath)
	}
	return ok
}

// identify finds the client behind trusted proxies, and drops headers that
// only they may send or that no two programs read alike.
func (s *server) identify(e *exchange, r *http.Request) {
	address, trusted := peer(r.RemoteAddr, s.unix, e.state.config.Server.Trusted)
	e.client, e.trusted = address, trusted
	h := r.Header
	for name := range h {
		// CGI and its kin take X_Real_IP for X-Real-IP.
		if strings.IndexByte(name, '_') >= 0 {
			delete(h, name)
			continue
		}
		if name[0] != 'X' && name[0] != 'F' {
			continue
		}
		switch {
		case strings.HasPrefix(name, "X-Hako-"):
			if name != snapshotHeader {
				delete(h, name)
			}
		case !trusted && (strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" || name == "Forwarded"):
			delete(h, name)
		}
	}
	if !trusted {
		return
	}
	delete(h, "Forwarded") // says the same in another form, unchecked
	if list := h["X-Forwarded-For"]; len(list) > 0 {
		e.client = clientOf(list, e.client, e.state.config.Server.Trusted)
	}
	if s.replay != nil {
		e.client, e.secure = s.replay.Client, s.replay.Secure
		return
	}
	if proto := h.Get("X-Forwarded-Proto"); proto == "https" || proto == "http" {
		e.secure = proto == "https"
	}
	if host := h.Get("X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, ", /") {
		e.host = host
	}
}

// peer returns the address of a connection's other end, without its port, and
// whether it is trusted.
func peer(remote string, unix bool, networks []config.Network) (string, bool) {
	if unix {
		return "unix", true
	}
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote, false
	}
	address := ap.Addr().Unmap().WithZone("")
	return address.String(), isTrusted(address, networks)
}

func isTrusted(a netip.Addr, networks []config.Network) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// clientOf returns the last address of X-Forwarded-For that is not of a
// trusted proxy: what stands before it anybody could have written.
func clientOf(list []string, peer string, networks []config.Network) string {
	client := peer
	hops := strings.Split(strings.Join(list, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = a.Unmap().String()
		if !isTrusted(a.Unmap(), networks) {
			break
		}
	}
	return client
}

func (s *server) health(e *exchange) {
	h := e.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if err := s.gateway.ready(); err != nil {
		e.WriteHeader(http.StatusServiceUnavailable)
		_, _ = e.Write([]byte(err.Error() + "\n"))
		return
	}
	_, _ = e.Write([]byte("ok\n"))
}

// ready says why requests should not be sent here, or nil.
func (g *Gateway) ready() error {
	if g.draining.Load() {
		return errors.New("shutting down")
	}
	if g.options.Ready != nil {
		return g.options.Ready()
	}
	return nil
}
