package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"testing"
)

// TestFilterProperties: what filters of the server can ask about a request, its
// connection, and the server that it went to.
func TestFilterProperties(t *testing.T) {
	s := newFilterSite(t)
	paths := []string{"source.address", "destination.address", "connection.id", "route_name", "xds.route_name", "cluster_name",
		"upstream.address", "upstream.port", "upstream.local_address", "upstream.request_attempt_count", "upstream.tls_version",
		"request.path", "request.protocol", "request.size", "request.total_size", "response.code", "node.metadata.REGION"}
	var filters []string
	for _, path := range paths {
		filters = append(filters, fmt.Sprintf(`{ name = "f", config = "get:%s" }`, path))
	}
	s.start("[server.node]\nREGION = \"eu\"\n[[filter]]\nname = \"f\"\nMODULE\n" +
		"[[route]]\nmatch = { path = \"/*\" }\nname = \"all\"\nfilters = [" + strings.Join(filters, ", ") + "]\nupstream = \"up\"\n")
	up, err := netip.ParseAddrPort(strings.TrimPrefix(s.up, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var id string
	for i := range 2 {
		var own net.Addr
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(g httptrace.GotConnInfo) { own = g.Conn.LocalAddr() },
		}), "POST", s.url+"/a", strings.NewReader("12345"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again
		res.Body.Close()
		got := map[string]string{}
		for _, v := range res.Header["X-Property"] {
			path, value, _ := strings.Cut(v, ": ")
			got[path] = value
		}
		for path, want := range map[string]string{
			"source.address": own.String(), "destination.address": s.Addresses()[0],
			"route_name": "all", "xds.route_name": "all", "cluster_name": "up",
			"upstream.address": up.String(), "upstream.port": fmt.Sprint(up.Port()), "upstream.request_attempt_count": "1", "upstream.tls_version": "none",
			"request.path": "/a", "request.protocol": "HTTP/1.1", "request.size": "5", "response.code": "200", "node.metadata.REGION": "eu",
		} {
			if got[path] != want {
				t.Errorf("%s is %q, not %q", path, got[path], want)
			}
		}
		if !strings.HasPrefix(got["upstream.local_address"], "127.0.0.1:") || len(got["request.total_size"]) < 3 || len(got) != len(paths) {
			t.Errorf("%v", got)
		}
		if i > 0 && got["connection.id"] != id {
			t.Errorf("the connection was %s and is %s", id, got["connection.id"])
		}
		if id = got["connection.id"]; id == "none" || id == "0" {
			t.Errorf("the connection is %s", id)
		}
	}
}
