package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// issue writes a certificate that vouches for itself, and its key.
func issue(t testing.TB, dir, base string, names ...string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// The key first: between the two writes they do not fit.
	for name, text := range map[string][]byte{base + ".key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), base + ".pem": pemOf(der)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, _ := x509.ParseCertificate(der)
	return parsed
}

// peerName returns the name of the certificate that a client is shown.
func peerName(t testing.TB, address, name string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName + " " + c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestCertificates(t *testing.T) {
	defer func(d time.Duration) { watchEvery = d }(watchEvery)
	watchEvery = 20 * time.Millisecond
	dir := t.TempDir()
	issue(t, dir, "a", "a.test")
	issue(t, dir, "b", "b.test", "*.w.test")
	h := startIn(t, dir, "[server]\nlisten = 'https://127.0.0.1:0'\n[server.tls]\ncertificates = [{ cert = 'a.pem', key = 'a.key' }, { cert = 'b.pem', key = 'b.key' }]\n[[route]]\nredirect = '/x'", Options{})
	for name, want := range map[string]string{"a.test": "a.test", "B.test": "b.test", "x.w.test": "b.test", "other": "a.test", "": "a.test"} {
		if got := peerName(t, h.addr(), name); !strings.HasPrefix(got, want+" ") {
			t.Errorf("%q is shown %s, want %s", name, got, want)
		}
	}
	fresh := issue(t, dir, "a", "a.test")
	eventually(t, "the new certificate is shown", func() bool {
		return peerName(t, h.addr(), "a.test") == "a.test "+fresh.SerialNumber.String()
	})
	write(t, dir, "a.pem", "garbage")
	eventually(t, "the log complains", func() bool { return strings.Contains(h.log.String(), "the one before it stays") })
	if got := peerName(t, h.addr(), "a.test"); got != "a.test "+fresh.SerialNumber.String() {
		t.Errorf("after a bad file: %s", got)
	}
	if _, err := tls.Dial("tcp", h.addr(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if answer := h.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.Contains(answer, "400 Bad Request") {
		t.Errorf("plain HTTP on a TLS port: %q", answer)
	}
}

func TestProtocolsOverTLS(t *testing.T) {
	dir := t.TempDir()
	roots := x509.NewCertPool()
	roots.AddCert(issue(t, dir, "a", "a.test"))
	h := startIn(t, dir, "[server]\nlisten = 'https://127.0.0.1:0'\nhttp3 = true\n[server.tls]\nmin_version = '1.3'\ncertificates = [{ cert = 'a.pem', key = 'a.key' }]\n[[route]]\nmatch.path = '/echo'\napp = 'echo'\n[[route]]\napp = 'show'", Options{})
	secure := &tls.Config{RootCAs: roots, ServerName: "a.test"}
	one := &http.Transport{TLSClientConfig: secure}
	two := &http.Transport{TLSClientConfig: secure.Clone(), ForceAttemptHTTP2: true}
	three := &http3.Transport{TLSClientConfig: secure.Clone()}
	defer func() { _ = three.Close() }()
	defer one.CloseIdleConnections()
	defer two.CloseIdleConnections()
	for i, transport := range []http.RoundTripper{one, two, three} {
		c := http.Client{Transport: transport, Timeout: 10 * time.Second}
		r, err := c.Get("https://" + h.addr() + "/x?y")
		if err != nil {
			t.Errorf("HTTP/%d: %v", i+1, err)
			continue
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.ProtoMajor != i+1 || !strings.Contains(string(text), "GET /x?y ") || !strings.Contains(string(text), "scheme=https") {
			t.Errorf("HTTP/%d: %s\n%s", i+1, r.Proto, text)
		}
		_, port, _ := strings.Cut(h.addr(), ":")
		if want := fmt.Sprintf(`h3=":%s"; ma=86400`, port); i < 2 && r.Header.Get("Alt-Svc") != want {
			t.Errorf("HTTP/%d offers %q, want %q", i+1, r.Header.Get("Alt-Svc"), want)
		}
		body := strings.Repeat("abc", 100000)
		r, err = c.Post("https://"+h.addr()+"/echo", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Errorf("HTTP/%d: %v", i+1, err)
			continue
		}
		text, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if string(text) != body || err != nil {
			t.Errorf("HTTP/%d: %d of %d bytes come back: %v", i+1, len(text), len(body), err)
		}
	}
}
