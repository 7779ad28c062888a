package gateway

import (
	"net/url"
	"path"
	"strings"
)

// cleanPath makes of a request's path what routes are compared with and what
// is passed on, so that nobody behind the gateway sees another path than the
// one that was matched:
//
//   - Dot segments, also written %2e, are removed (RFC 3986, 5.2.4).
//   - Repeated slashes are one for comparing and stay in what is passed on.
//   - A slash or backslash within a segment (%2f, %5c) stays as it is, unless
//     a dot segment would come about by it; that, and a zero byte, are refused.
//
// match is decoded, raw is escaped. ok is false if the path is refused.
func cleanPath(u *url.URL) (match, raw string, ok bool) {
	match, raw = u.Path, u.RawPath
	if raw == "" && plainPath(match) {
		return match, "", true
	}
	if match == "" || match[0] != '/' || strings.IndexByte(match, 0) >= 0 {
		return "", "", false
	}
	raw = u.EscapedPath()
	if dotSegment(strings.ReplaceAll(match, "\\", "/")) {
		raw = removeDots(raw)
		var err error
		if match, err = url.PathUnescape(raw); err != nil {
			return "", "", false
		}
		if dotSegment(strings.ReplaceAll(match, "\\", "/")) {
			return "", "", false
		}
	}
	if strings.Contains(match, "//") {
		slash := strings.HasSuffix(match, "/")
		if match = path.Clean(match); slash && match != "/" {
			match += "/"
		}
	}
	return match, raw, true
}

// plainPath reports whether nothing in a decoded path needs care.
func plainPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case 0, '\\':
			return false
		case '/':
			if i+1 < len(p) && (p[i+1] == '.' || p[i+1] == '/') {
				return false
			}
		}
	}
	return true
}

func dotSegment(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// removeDots removes dot segments of an escaped path.
func removeDots(p string) string {
	var kept []string
	segments := strings.Split(p, "/")[1:]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
			if last {
				kept = append(kept, "")
			}
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}
