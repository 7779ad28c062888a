package php

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
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
)

// authority makes a certificate of an authority, in a file, and one of it for
// a name.
func authority(t *testing.T, name string) (file string, c tls.Certificate) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		b, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rootKey, key := newKey(), newKey()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER := sign(root, root, rootKey, rootKey)
	leaf := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root, key, rootKey)
	file = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
}

// secured answers by TLS, and returns its port.
func secured(t *testing.T, c tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, b)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Scripts reach by HTTPS what they are granted, if its certificate is of an
// authority that the host trusts.
func TestHTTPS(t *testing.T) {
	roots, good := authority(t, "localhost")
	_, stranger := authority(t, "localhost")
	_, other := authority(t, "other.example")
	t.Setenv("SSL_CERT_FILE", roots)
	port, strange, misnamed := secured(t, good), secured(t, stranger), secured(t, other)
	s := serve(t, files{
		"get.php": `<?php
			$r = @file_get_contents('https://' . $_GET['to'] . '/', false, stream_context_create(['http' => ['method' => 'POST', 'content' => 'body', 'timeout' => 10]]));
			echo $r === false ? 'failed: ' . error_get_last()['message'] : $r;`,
		"socket.php": `<?php
			$s = stream_socket_client('tls://' . $_GET['to'], $n, $m, 10);
			fwrite($s, "GET / HTTP/1.0\r\nHost: x\r\n\r\n");
			echo stream_get_meta_data($s)['crypto']['protocol'], ' ', strlen(stream_get_contents($s)) > 20 ? 'ok' : 'nothing';`,
		"roots.php": `<?php echo json_encode([scandir('/etc/ssl'), @file_put_contents('/etc/ssl/cert.pem', 'x'), @unlink('/etc/ssl/cert.pem'), openssl_x509_parse(file_get_contents('/etc/ssl/cert.pem'))['subject']['CN']]);`,
	}, func(c *app.ServiceConfig) {
		c.Spec.Network = []string{"localhost:" + port, "localhost:" + strange, "localhost:" + misnamed}
	})
	s.want("/get.php?to=localhost:"+port, 200, "POST localhost:"+port+" body")
	s.want("/socket.php?to=localhost:"+port, 200, "TLSv1.3 ok")
	s.want("/roots.php", 200, `[[".","..","cert.pem"],false,false,"an authority"]`)
	for to, why := range map[string]string{
		"localhost:" + strange: "certificate verify failed", "localhost:" + misnamed: "certificate verify failed", "localhost:1": "", "other.example:443": "",
	} {
		if a := s.get("/get.php?to=" + to); !strings.HasPrefix(a.body, "failed: ") {
			t.Errorf("%s: %s", to, a.body)
		} else {
			t.Logf("%s: %s", to, a.body)
		}
		if why != "" {
			s.write("why.php", `<?php file_get_contents('https://`+to+`/');`)
			s.get("/why.php")
			s.logged(why)
		}
	}
	// Who may connect to nobody has no use for them.
	alone := serve(t, files{"roots.php": `<?php echo json_encode(file_exists('/etc/ssl'));`}, nil)
	alone.want("/roots.php", 200, "false")
}
