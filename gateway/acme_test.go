package gateway

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names answers, by TCP as Pebble asks, that every name is 127.0.0.1.
func names(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			answerName(c)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// answerName answers one question (RFC 1035, 4.2.2).
func answerName(c net.Conn) {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return
	}
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	var m dnsmessage.Message
	if _, err := io.ReadFull(c, question); err != nil || m.Unpack(question) != nil || len(m.Questions) == 0 {
		return
	}
	q := m.Questions[0]
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	if q.Type == dnsmessage.TypeA {
		answer.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	if packed, err := answer.Pack(); err == nil {
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// authority builds and starts Let's Encrypt's Pebble, an ACME authority for
// tests, and returns its directory's URL. Its certificate is ca.pem in dir.
func authority(t *testing.T, dir string, httpPort, tlsPort int) string {
	t.Helper()
	program := filepath.Join(dir, "pebble")
	build := exec.Command("go", "build", "-o", program, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = "testdata/pebble"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	issue(t, dir, "ca", "localhost")
	port := freePort(t)
	settings, _ := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", port), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", freePort(t)),
		"certificate": filepath.Join(dir, "ca.pem"), "privateKey": filepath.Join(dir, "ca.key"), "httpPort": httpPort, "tlsPort": tlsPort,
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "d", "validityPeriod": 3600}},
	}})
	write(t, dir, "pebble.json", string(settings))
	cmd := exec.Command(program, "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", names(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	log := &buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pebble:\n%s", log)
		}
	})
	eventually(t, "the authority listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return fmt.Sprintf("https://localhost:%d/dir", port)
}

// TestACME gets certificates from a real authority, by HTTP and by TLS, and
// keeps them over a restart.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			dir := t.TempDir()
			httpPort, tlsPort := freePort(t), freePort(t)
			listen := fmt.Sprintf("'https://127.0.0.1:%d'", tlsPort)
			if challenge == "http-01" {
				listen += fmt.Sprintf(", 'http://127.0.0.1:%d'", httpPort)
			}
			// Port 1 is nobody's: the challenge of the other kind fails.
			validHTTP, validTLS := httpPort, tlsPort
			if challenge == "http-01" {
				validTLS = 1
			} else {
				validHTTP = 1
			}
			directory := authority(t, dir, validHTTP, validTLS)
			text := fmt.Sprintf("[server]\nlisten = [%s]\ndata = 'data'\n[server.tls.acme]\nemail = 'ops@example.com'\ndirectory = '%s'\nca = 'ca.pem'\n"+
				"[[route]]\nmatch.host = ['a.example', 'b.example']\nredirect = '/x'\n[[route]]\nredirect = '/other'", listen, directory)
			h := startIn(t, dir, text, Options{})
			shown := func(name string) string {
				c, err := tls.Dial("tcp", h.addr(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
				if err != nil {
					return err.Error()
				}
				defer func() { _ = c.Close() }()
				leaf := c.ConnectionState().PeerCertificates[0]
				if leaf.VerifyHostname(name) != nil || !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
					return "another's certificate"
				}
				return "ok " + leaf.SerialNumber.String()
			}
			for _, name := range []string{"a.example", "b.example"} {
				eventually(t, "there is a certificate for "+name, func() bool { return strings.HasPrefix(shown(name), "ok ") })
			}
			if got := shown("c.example"); strings.HasPrefix(got, "ok ") {
				t.Error("a certificate was got for a host that is not configured")
			}
			before := shown("a.example")
			h.stop()
			<-h.ended
			h.ended <- nil
			h = startIn(t, dir, text, Options{})
			if after := shown("a.example"); after != before {
				t.Errorf("after a restart %s is shown, before %s", after, before)
			}
			// What is not a challenge is not taken from the routes.
			if challenge == "http-01" {
				c := http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
				r, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/y", httpPort))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
				if r.Header.Get("Location") != "/other" {
					t.Errorf("%d %v", r.StatusCode, r.Header)
				}
			}
		})
	}
}
