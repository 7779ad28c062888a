package gateway

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/hako-run/hako/config"
)

// headerRules are a [config.HeaderRules] with names in their canonical form.
type headerRules struct {
	remove   []string
	set, add map[string]string
}

func newHeaderRules(c *config.HeaderRules) headerRules {
	r := headerRules{set: canonical(c.Set), add: canonical(c.Add)}
	for _, name := range c.Remove {
		r.remove = append(r.remove, textproto.CanonicalMIMEHeaderKey(name))
	}
	return r
}

func canonical(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	c := map[string]string{}
	for name, value := range m {
		c[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return c
}

func (r *headerRules) apply(h http.Header) {
	for _, name := range r.remove {
		delete(h, name)
	}
	for name, value := range r.set {
		h[name] = []string{value}
	}
	for name, value := range r.add {
		h[name] = append(h[name], value)
	}
}

// addVary adds a name to Vary unless it is there.
func addVary(h http.Header, name string) {
	for _, line := range h["Vary"] {
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.TrimSpace(part); part == "*" || strings.EqualFold(part, name) {
				return
			}
		}
	}
	h["Vary"] = append(h["Vary"], name)
}
