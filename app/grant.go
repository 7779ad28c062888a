package app

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A DirGrant lets a guest see a directory of the host.
type DirGrant struct {
	Host     string // absolute or relative to the working directory
	Guest    string // absolute, slash-separated
	ReadOnly bool
}

// ParseDir parses HOST:GUEST[:ro|:rw] as docker's --volume has it. HOST alone
// is seen at the same path as on the host.
func ParseDir(s string) (DirGrant, error) {
	fail := func(why string) (DirGrant, error) {
		return DirGrant{}, fmt.Errorf("directory grant %q: %s: write HOST:GUEST or HOST:GUEST:ro", s, why)
	}
	rest, readOnly := s, false
	switch {
	case strings.HasSuffix(s, ":ro"):
		rest, readOnly = s[:len(s)-3], true
	case strings.HasSuffix(s, ":rw"):
		rest = s[:len(s)-3]
	}
	// The guest's path begins with a slash; a colon within it is no divider.
	host, guest := rest, ""
	if at := strings.Index(rest, ":/"); at >= 0 && !(at == 1 && filepath.VolumeName(rest) != "") {
		host, guest = rest[:at], rest[at+1:]
	} else if at > 0 {
		if second := strings.Index(rest[at+1:], ":/"); second >= 0 {
			host, guest = rest[:at+1+second], rest[at+2+second:]
		}
	} else if i := strings.LastIndexByte(rest, ':'); i >= 0 && filepath.VolumeName(rest) == "" {
		return fail(fmt.Sprintf("the guest's path %q is not absolute", rest[i+1:]))
	}
	if host == "" {
		return fail("it names no directory of the host")
	}
	if guest == "" {
		absolute, err := filepath.Abs(host)
		if err != nil {
			return fail(err.Error())
		}
		guest = filepath.ToSlash(strings.TrimPrefix(absolute, filepath.VolumeName(absolute)))
	}
	if strings.IndexByte(guest, 0) >= 0 || !utf8.ValidString(guest) {
		return fail("the guest's path is not text")
	}
	return DirGrant{Host: host, Guest: path.Clean(guest), ReadOnly: readOnly}, nil
}

// A PortGrant publishes a port that a guest listens on.
type PortGrant struct {
	Host    netip.AddrPort // where the host listens; port 0 takes a free one
	Guest   uint16         // the port the guest binds
	Network string         // "tcp" or "udp"
}

// ParsePort parses [IP:]HOST:GUEST[/tcp|/udp]. Without an IP the host listens
// on loopback only: 0.0.0.0 or [::] has to be said.
func ParsePort(s string) (PortGrant, error) {
	fail := func(why string) (PortGrant, error) {
		return PortGrant{}, fmt.Errorf("published port %q: %s: write HOST:GUEST, as 8080:80, or IP:HOST:GUEST", s, why)
	}
	rest, network := s, "tcp"
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		rest, network = s[:i], s[i+1:]
		if network != "tcp" && network != "udp" {
			return fail(fmt.Sprintf("the protocol %q is neither tcp nor udp", network))
		}
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		rest, i = rest+":"+rest, len(rest)
	}
	guest, err := port(rest[i+1:])
	if err != nil || guest == 0 {
		return fail(fmt.Sprintf("%q is no port from 1 to 65535", rest[i+1:]))
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	hostPort := rest[:i]
	if j := strings.LastIndexByte(hostPort, ':'); j >= 0 {
		text := strings.TrimSuffix(strings.TrimPrefix(hostPort[:j], "["), "]")
		if address, err = netip.ParseAddr(text); err != nil {
			return fail(fmt.Sprintf("%q is no IP address", text))
		}
		hostPort = hostPort[j+1:]
	}
	number, err := port(hostPort)
	if err != nil {
		return fail(fmt.Sprintf("%q is no port from 0 to 65535", hostPort))
	}
	return PortGrant{Host: netip.AddrPortFrom(address, number), Guest: guest, Network: network}, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// A DatabaseGrant lets a guest open a database, or a snapshot to read it.
type DatabaseGrant struct {
	Snapshot string // "shop", or "shop@42" and the like: read-only
	Guest    string // the path under which the guest opens it
}

// ParseDatabase parses NAME[@VERSION][:PATH]. The guest's path is
// /db/NAME.sqlite unless given.
func ParseDatabase(s string) (DatabaseGrant, error) {
	snapshot, guest := s, ""
	// A time in a snapshot has colons too; none is followed by a slash.
	if i := strings.Index(s, ":/"); i >= 0 {
		snapshot, guest = s[:i], path.Clean(s[i+1:])
	}
	name, version, _ := strings.Cut(snapshot, "@")
	if _, wrong, ok := strings.Cut(name, ":"); ok || version == "" && strings.HasSuffix(snapshot, ":") {
		return DatabaseGrant{}, fmt.Errorf("database grant %q: the guest's path %q is not absolute: write NAME:/PATH", s, wrong)
	}
	if name == "" {
		return DatabaseGrant{}, fmt.Errorf("database grant %q: it names no database: write NAME, NAME@VERSION or NAME:/PATH", s)
	}
	if guest == "" {
		guest = "/db/" + name + ".sqlite"
	}
	return DatabaseGrant{Snapshot: snapshot, Guest: guest}, nil
}

// ParseSize parses a number of bytes: 65536, 64k, 64m, 64MiB, 1.5g. Units are
// powers of 1024 whichever way they are written, as docker has it.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	text = strings.TrimSuffix(strings.TrimSuffix(text, "b"), "i")
	shift := 0
	if text != "" {
		if i := strings.IndexByte("kmgt", text[len(text)-1]); i >= 0 {
			shift, text = 10*(i+1), text[:len(text)-1]
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	bytes := n * float64(int64(1)<<shift)
	if err != nil || !(bytes >= 0 && bytes < 1<<62) {
		return 0, fmt.Errorf("%q is no size: write a number of bytes, or 64k, 64m, 1g", s)
	}
	return int64(bytes), nil
}

// MergeEnv returns variables with more, which come in the place of those of
// the same name.
func MergeEnv(env, more []string) []string {
	merged := append([]string(nil), env...)
next:
	for _, v := range more {
		name, _, _ := strings.Cut(v, "=")
		for i, old := range merged {
			if oldName, _, _ := strings.Cut(old, "="); oldName == name {
				merged[i] = v
				continue next
			}
		}
		merged = append(merged, v)
	}
	return merged
}

// errEnv says how a variable is written.
var errEnv = errors.New("write NAME=VALUE, or NAME to take it from the environment")

// ParseEnv parses NAME=VALUE, or NAME alone, whose value lookup finds; ok is
// false where it finds none.
func ParseEnv(s string, lookup func(string) (string, bool)) (variable string, ok bool, err error) {
	name, _, given := strings.Cut(s, "=")
	switch {
	case name == "":
		return "", false, fmt.Errorf("variable %q has no name: %w", s, errEnv)
	case strings.IndexByte(s, 0) >= 0:
		return "", false, fmt.Errorf("variable %q has a zero byte in it", name)
	case given:
		return s, true, nil
	}
	value, ok := lookup(name)
	return name + "=" + value, ok, nil
}
