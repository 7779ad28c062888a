package config

import (
	"fmt"
	"net"
)

func (c *checker) checkStreams() {
	named := map[string]bool{}
	for i := range c.Streams {
		s := &c.Streams[i]
		if s.Name != "" && named[s.Name] {
			c.add(c.at(&s.Name), "", "there are two streams called %q", s.Name)
		}
		named[s.Name] = true
		if _, written := c.places[&s.Listen]; written && len(s.Listen) == 0 {
			c.add(c.at(&s.Listen), "write 127.0.0.1:6000", "the stream listens nowhere")
		}
		for j := range s.Listen {
			l := &s.Listen[j]
			switch _, port, _ := net.SplitHostPort(l.Address); {
			case l.Network == "tcp" && port == "443":
				l.TLS = false // which the port says of HTTP
			case l.TLS:
				c.add(c.at(l, &s.Listen), "leave https:// away, and write tls = true for TLS that ends here", "a stream is no HTTP")
			}
		}
		if s.TLS && c.Server.TLS == nil {
			c.add(c.at(&s.TLS), "add [server.tls]", "the stream has TLS, but there is no certificate")
		}
		if s.Upstream != "" {
			known(c, &s.Upstream, "upstream", c.Upstreams, upstreamName)
			c.checkStreamUpstream(s)
		}
		c.checkFilterRefs(s.Filters)
		c.positive(&s.MaxConnections, "max_connections")
		c.nonzero(&s.Timeouts.Idle, "timeouts.idle")
		if s.Timeouts.Connect != nil {
			c.nonzero(s.Timeouts.Connect, "timeouts.connect")
		}
	}
	for i := range c.Streams {
		s := &c.Streams[i]
		if s.Name != "" || len(s.Listen) == 0 {
			continue
		}
		base := s.Listen[0].String()
		name := base
		for n := 2; named[name]; n++ {
			name = fmt.Sprintf("%s #%d", base, n)
		}
		s.Name, named[name] = name, true
	}
}

// checkStreamUpstream reports servers that a stream cannot be passed on to.
func (c *checker) checkStreamUpstream(s *Stream) {
	u := c.Upstream(s.Upstream)
	if u == nil {
		return
	}
	for i := range u.URL {
		if u.URL[i].TLS {
			c.add(c.at(&s.Upstream), "write tcp://host:port in its url: TLS is passed on as it comes", "upstream %q has a server with https://, which no stream is passed on to", s.Upstream)
			return
		}
	}
}
