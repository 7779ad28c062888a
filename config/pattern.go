package config

import (
	"fmt"
	"path"
	"strings"
)

// A HostPattern is a host without a port: "example.com", "*.example.com" for
// the hosts one label below it, or "*" for any. Case does not matter.
type HostPattern string

// UnmarshalText reads the written form.
func (h *HostPattern) UnmarshalText(text []byte) error {
	s := strings.ToLower(string(text))
	rest := strings.TrimPrefix(s, "*.")
	switch {
	case s == "*":
	case s == "":
		return fmt.Errorf("the host is empty: write example.com, *.example.com or *")
	case strings.Contains(rest, "*"):
		return fmt.Errorf("host %q: a star stands for the whole first label only, as in *.example.com", text)
	case strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") && rest == s:
		s = strings.Trim(s, "[]")
	case strings.Contains(s, ":") && strings.Count(s, ":") == 1:
		return fmt.Errorf("host %q has a port: server.listen says where to listen", text)
	case len(rest) > 253 || rest == "" || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-._:") != "":
		return fmt.Errorf("host %q holds what no host name has: internationalised names are written in their xn-- form", text)
	case strings.HasPrefix(rest, ".") || strings.Contains(rest, "..") || strings.HasSuffix(rest, "."):
		return fmt.Errorf("host %q has an empty label", text)
	}
	*h = HostPattern(s)
	return nil
}

// Match reports whether host, in lower case and without a port, matches.
func (h HostPattern) Match(host string) bool {
	if h == "*" || string(h) == host {
		return true
	}
	suffix, ok := strings.CutPrefix(string(h), "*")
	if !ok || !strings.HasSuffix(host, suffix) {
		return false
	}
	label := host[:len(host)-len(suffix)]
	return label != "" && strings.IndexByte(label, '.') < 0
}

// A PathPattern is a path: "/about" is that path alone, "/shop/*" is /shop and
// everything below it, "/*" is everything. It is compared with the request's
// path after escapes were resolved.
type PathPattern string

// UnmarshalText reads the written form.
func (p *PathPattern) UnmarshalText(text []byte) error {
	s := string(text)
	rest := strings.TrimSuffix(s, "/*")
	switch {
	case !strings.HasPrefix(s, "/"):
		return fmt.Errorf("path %q does not begin with a slash", s)
	case strings.Contains(rest, "*"):
		return fmt.Errorf("path %q: a star stands at the end only, after a slash, as in /shop/*", s)
	case strings.ContainsAny(rest, "?#\x00"):
		return fmt.Errorf("path %q holds more than a path", s)
	case rest != "" && rest != "/" && path.Clean(rest) != strings.TrimSuffix(rest, "/"):
		return fmt.Errorf("path %q has empty, '.' or '..' parts, which no request has when it is compared", s)
	}
	*p = PathPattern(s)
	return nil
}

// Match reports whether a cleaned path matches.
func (p PathPattern) Match(path string) bool {
	prefix, ok := strings.CutSuffix(string(p), "/*")
	if !ok {
		return string(p) == path
	}
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// covers reports whether everything that q matches p matches too.
func (p PathPattern) covers(q PathPattern) bool {
	if base, ok := strings.CutSuffix(string(q), "/*"); ok {
		return strings.HasSuffix(string(p), "/*") && (p == "/*" || p.Match(base))
	}
	return p.Match(string(q))
}

// covers reports whether everything that q matches h matches too.
func (h HostPattern) covers(q HostPattern) bool {
	return h == "*" || h == q || !strings.HasPrefix(string(q), "*") && h.Match(string(q))
}

// A FilePattern says which files are meant: by their name, "*.log", with the
// signs of path.Match, or, if it begins with a slash, by their path as a
// PathPattern does. Case does not matter, as on some disks it does not.
type FilePattern string

// UnmarshalText reads the written form.
func (p *FilePattern) UnmarshalText(text []byte) error {
	s := strings.ToLower(string(text))
	if strings.HasPrefix(s, "/") {
		var whole PathPattern
		if err := whole.UnmarshalText(text); err != nil {
			return err
		}
		*p = FilePattern(s)
		return nil
	}
	if _, err := path.Match(s, ""); err != nil || s == "" || strings.ContainsAny(s, "/\x00") {
		return fmt.Errorf("%q is no pattern for files: write *.log, or /private/*", text)
	}
	*p = FilePattern(s)
	return nil
}

// Match reports whether the file at a cleaned path matches.
func (p FilePattern) Match(at string) bool {
	at = strings.ToLower(at)
	if strings.HasPrefix(string(p), "/") {
		return PathPattern(p).Match(at)
	}
	ok, _ := path.Match(string(p), path.Base(at))
	return ok
}
