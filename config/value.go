package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/pagestore"
)

// A Duration is written "500ms", "2s", "1m30s", "36h" or "30d".
type Duration time.Duration

// UnmarshalText reads the written form.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := pagestore.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write it as 500ms, 2s, 1m30s or 30d", text)
	}
	*d = Duration(n)
	return nil
}

// D returns the duration as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String returns the written form.
func (d Duration) String() string { return pagestore.FormatDuration(time.Duration(d)) }

// A Size is a number of bytes, written "64KiB", "128MiB", "1g" or 65536. Units
// are powers of 1024 whichever way they are written.
type Size int64

// UnmarshalText reads the written form.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := app.ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = Size(n)
	return nil
}

// A Retention is the history that is kept: "all", an age ("30d") or a number
// of versions ("1000").
type Retention struct{ pagestore.Retention }

// UnmarshalText reads the written form.
func (r *Retention) UnmarshalText(text []byte) (err error) {
	r.Retention, err = pagestore.ParseRetention(string(text))
	return err
}

// A Path is a file or folder, relative to the folder of the configuration.
// After loading it is relative to the working directory or absolute.
type Path string

func (p *Path) resolve(dir string) {
	if *p != "" {
		*p = Path(join(dir, string(*p)))
	}
}

func join(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// A Module names code: an image ("ghcr.io/acme/shop:1"; "oci://" before it is
// allowed) or a file, which ends in .wasm or begins with "./", "../" or "/".
type Module struct {
	Image string // a reference without oci://, or ""
	File  string // resolved as a Path, or ""
}

// UnmarshalText reads the written form.
func (m *Module) UnmarshalText(text []byte) error {
	s := string(text)
	image, oci := strings.CutPrefix(s, "oci://")
	switch {
	case s == "" || image == "":
		return errors.New("it is empty: name an image or a .wasm file")
	case oci:
		*m = Module{Image: image}
	case strings.Contains(s, "://"):
		return fmt.Errorf("%q is neither an image nor a file: write registry/name:tag or a path", s)
	case strings.HasSuffix(s, ".wasm"), strings.HasPrefix(s, "./"), strings.HasPrefix(s, "../"), strings.HasPrefix(s, "/"):
		*m = Module{File: s}
	default:
		*m = Module{Image: s}
	}
	return nil
}

func (m *Module) resolve(dir string) {
	if m.File != "" {
		m.File = join(dir, m.File)
	}
}

// String returns the image or the file.
func (m Module) String() string { return m.Image + m.File }

// A Listen is an address to listen on: "127.0.0.1:8080", ":443" for all
// addresses, "unix:/path", or "systemd:NAME" for a socket that systemd passes
// under that FileDescriptorName ("systemd:" alone takes the unnamed ones).
// "https://" before it asks for TLS, "http://" for none; without either, port
// 443 has TLS.
type Listen struct {
	Network string // "tcp", "unix" or "systemd"
	Address string // host:port, path or name
	TLS     bool
}

// UnmarshalText reads the written form.
func (l *Listen) UnmarshalText(text []byte) error {
	s := string(text)
	rest, secure := strings.CutPrefix(s, "https://")
	rest, plain := strings.CutPrefix(rest, "http://")
	if secure && plain {
		return fmt.Errorf("%q has two schemes", s)
	}
	if name, ok := strings.CutPrefix(rest, "unix:"); ok {
		if name == "" || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("%q names no file: write unix:/path", s)
		}
		*l = Listen{"unix", name, secure}
		return nil
	}
	if name, ok := strings.CutPrefix(rest, "systemd:"); ok {
		*l = Listen{"systemd", name, secure}
		return nil
	}
	host, port, err := splitAddress(rest)
	if err != nil {
		return fmt.Errorf("%w: write 127.0.0.1:8080, :443, unix:/path or systemd:NAME", err)
	}
	*l = Listen{"tcp", net.JoinHostPort(host, port), secure || port == "443" && !plain}
	return nil
}

func (l *Listen) resolve(dir string) {
	if l.Network == "unix" {
		l.Address = join(dir, l.Address)
	}
}

// String returns the written form.
func (l Listen) String() string {
	s := l.Address
	if l.Network != "tcp" {
		s = l.Network + ":" + s
	}
	switch _, port, _ := net.SplitHostPort(l.Address); {
	case l.TLS:
		s = "https://" + s
	case l.Network == "tcp" && port == "443":
		s = "http://" + s
	}
	return s
}

// splitAddress splits host:port; the host may be empty.
func splitAddress(s string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		if _, bad := strconv.ParseUint(s, 10, 16); bad == nil {
			return "", "", fmt.Errorf("%q is a port without an address", s)
		}
		return "", "", fmt.Errorf("%q is no address with a port", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("%q in %q is no port from 0 to 65535", port, s)
	}
	if strings.ContainsAny(host, " /\\@?#\x00") {
		return "", "", fmt.Errorf("%q in %q is no host", host, s)
	}
	return host, port, nil
}

// An Address is a host and a port.
type Address string

// UnmarshalText reads the written form.
func (a *Address) UnmarshalText(text []byte) error {
	host, _, err := splitAddress(string(text))
	if err != nil {
		return fmt.Errorf("%w: write host:port", err)
	}
	if host == "" {
		return fmt.Errorf("%q has no host: write host:port", text)
	}
	*a = Address(text)
	return nil
}

// A Target is one server of an upstream: "http://host:port",
// "https://host:port", "unix:/path", or "tcp://host:port" for streams.
type Target struct {
	Network string // "tcp" or "unix"
	Address string // host:port or path
	Host    string // host[:port] as in the URL; "localhost" for a unix socket
	TLS     bool
	Raw     bool // tcp://: no HTTP is spoken
}

// UnmarshalText reads the written form.
func (t *Target) UnmarshalText(text []byte) error {
	s := string(text)
	if name, ok := strings.CutPrefix(s, "unix:"); ok {
		if name == "" || strings.IndexByte(name, 0) >= 0 {
			return fmt.Errorf("%q names no file: write unix:/path", s)
		}
		*t = Target{Network: "unix", Address: name, Host: "localhost"}
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp") || u.Hostname() == "" {
		return fmt.Errorf("%q is no address of a server: write http://host:port, https://host:port, tcp://host:port or unix:/path", s)
	}
	if u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q has more than scheme, host and port: a route's strip and headers change what is sent", s)
	}
	port := u.Port()
	if port == "" {
		if u.Scheme == "tcp" {
			return fmt.Errorf("%q has no port: write tcp://host:port", s)
		}
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if _, _, err := splitAddress(net.JoinHostPort(u.Hostname(), port)); err != nil {
		return err
	}
	*t = Target{"tcp", net.JoinHostPort(u.Hostname(), port), u.Host, u.Scheme == "https", u.Scheme == "tcp"}
	return nil
}

func (t *Target) resolve(dir string) {
	if t.Network == "unix" {
		t.Address = join(dir, t.Address)
	}
}

// String returns the written form.
func (t Target) String() string {
	switch {
	case t.Network == "unix":
		return "unix:" + t.Address
	case t.TLS:
		return "https://" + t.Host
	case t.Raw:
		return "tcp://" + t.Host
	}
	return "http://" + t.Host
}

// A Network is a range of IP addresses, "10.0.0.0/8", or one.
type Network struct{ netip.Prefix }

// UnmarshalText reads the written form.
func (n *Network) UnmarshalText(text []byte) error {
	if address, err := netip.ParseAddr(string(text)); err == nil {
		n.Prefix = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no range of addresses: write 10.0.0.0/8 or 192.0.2.1", text)
	}
	n.Prefix = prefix.Masked()
	return nil
}
