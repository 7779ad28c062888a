package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// A soak is a server under all that may befall it.
type soak struct {
	t       *testing.T
	dir     string
	data    string
	socket  string // where the metrics are
	p       *process
	http1   *http.Client
	http2   *http.Client
	file    string // what static files hold
	text    string // the configuration, with verbs for what reloads change
	number  atomic.Int64
	counts  [kinds]atomic.Int64 // by kind
	reloads int
}

// TestSoak lets clients ask for all kinds of things, some of which crash, grow
// or spin, and leave early, while the configuration is loaded again and again:
// no answer is lost or another's, and memory, goroutines and descriptors stay
// what they are.
func TestSoak(t *testing.T) {
	lasts := 5 * time.Second
	switch {
	case *soakFor > 0:
		lasts = *soakFor
	case *long:
		lasts = 5 * time.Minute
	case testing.Short():
		t.Skip("the server is a process of its own, which the race detector does not see")
	}
	s := newSoak(t)
	s.p = up(t, s.dir, s.data)
	// The first part is for all that is made once; the rest is compared with it.
	const parts = 5
	var first usage
	for part := range parts {
		s.run(lasts / parts)
		if t.Failed() {
			t.Fatalf("the server's log ends with\n%s", s.p.tail())
		}
		u := s.settled(first)
		t.Logf("part %d: %v", part, u)
		if part == 0 {
			first = u
			continue
		}
		if u.goroutines > first.goroutines+slack || u.descriptors > first.descriptors+slack {
			t.Errorf("it had %v after the first part", first)
		}
		// What is cached and not yet collected comes and goes.
		if u.memory > first.memory*3/2+128<<20 {
			t.Errorf("it had %v after the first part", first)
		}
	}
	s.p.stop()
	var all []string
	for kind := range s.counts {
		n := s.counts[kind].Load()
		all = append(all, strconv.FormatInt(n, 10))
		if n == 0 && !testing.Short() {
			t.Errorf("nothing of kind %d", kind)
		}
	}
	t.Logf("%d reloads; requests of each kind: %s", s.reloads, strings.Join(all, " "))
	output(t, s.data, "db", "verify")
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, dir: t.TempDir(), data: t.TempDir(), file: strings.Repeat("what a file holds ", 10000)}
	s.socket = filepath.Join(s.dir, "metrics")
	guestbuild.ShareCompiled(t, s.data)
	roots := s.certificate()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("public/file.bin", s.file)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Echo-Nonce", r.Header.Get("X-Nonce"))
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(backend.Close)
	soaker := guestbuild.Go(t, "testdata/soaker", "-buildmode=c-shared")
	s.text = fmt.Sprintf(`
[server]
listen = ["http://127.0.0.1:0", "https://127.0.0.1:0"]
metrics = "unix:metrics"
timeouts = { idle = "%%[1]ds" }
tls.certificates = [{ cert = "cert.pem", key = "key.pem" }]
[[database]]
name = "soak"
retain = "1000"
[[upstream]]
name = "echo"
url = %q
[[app]]
name = "fork"
image = %q
databases = ["soak"]
limits = { memory = "48MiB", cpu = "%%[2]dms", wall = "30s", instances = 6 }
queue = { length = 1000, wait = "1m" }
[[app]]
name = "session"
image = %q
databases = ["soak"]
limits = { memory = "48MiB", cpu = "500ms", wall = "30s", instances = 6 }
queue = { length = 1000, wait = "1m" }
template = { fork = "session" }
[[app]]
name = "cgi"
image = %q
protocol = "cgi"
queue = { length = 1000, wait = "1m" }
[[route]]
match.path = "/fork/*"
strip = "/fork"
app = "fork"
[[route]]
match.path = "/session/*"
strip = "/session"
app = "session"
[[route]]
match.path = "/cgi/*"
strip = "/cgi"
app = "cgi"
[[route]]
match.path = "/up/*"
upstream = "echo"
[[route]]
static = "public"
`, backend.URL, soaker, soaker, guestbuild.C(t, []string{"-O2", "testdata/soaker/echo.c"}))
	write("hako.toml", fmt.Sprintf(s.text, 60, 500))
	s.http1 = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}}
	s.http2 = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableCompression: true,
	}}
	return s
}

// certificate writes one for 127.0.0.1 and returns it as a root.
func (s *soak) certificate() *x509.CertPool {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

// run soaks for a while.
func (s *soak) run(lasts time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), lasts)
	defer cancel()
	var wait sync.WaitGroup
	for client := range 8 {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(s.number.Load()), uint64(client)))
			for ctx.Err() == nil && !s.t.Failed() {
				kind := random.IntN(kinds)
				nonce := fmt.Sprintf("nonce-%d", s.number.Add(1))
				if err := s.ask(kind, nonce, random); err != nil {
					s.t.Errorf("kind %d, %s: %v", kind, nonce, err)
				}
				s.counts[kind].Add(1)
			}
		})
	}
	for ctx.Err() == nil && !s.t.Failed() {
		s.reload()
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	wait.Wait()
}

// reload changes the configuration: mostly the time that idle connections are
// kept, at times an app, at times to something that must be refused.
func (s *soak) reload() {
	s.reloads++
	text := fmt.Sprintf(s.text, 60+s.reloads%2, 500+s.reloads/3%2)
	broken := s.reloads%5 == 0
	if broken {
		text += "nonsense = 1\n"
	}
	if err := os.WriteFile(filepath.Join(s.dir, "hako.toml"), []byte(text), 0o644); err != nil {
		s.t.Error(err)
		return
	}
	cmd := hako(s.t, s.data, "reload", "tested")
	out, err := cmd.CombinedOutput()
	if broken != (err != nil) {
		s.t.Errorf("reload %d: %v\n%s", s.reloads, err, out)
	}
}

const kinds = 15

// ask makes one request and checks that the answer is its own, and whole.
func (s *soak) ask(kind int, nonce string, random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, base := s.http1, "http://"+s.p.addresses[0]
	if random.IntN(2) == 0 {
		client, base = s.http2, "https://"+s.p.addresses[1]
	}
	app := []string{"/fork", "/session"}[random.IntN(2)]
	do := func(method, path string, body io.Reader) (*http.Response, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, base+path, body)
		if err != nil {
			return nil, "", err
		}
		r.Header.Set("X-Nonce", nonce)
		resp, err := client.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	// want makes a request whose answer is known.
	want := func(method, path, sent string, status int, text string) error {
		var body io.Reader
		if sent != "" {
			body = strings.NewReader(sent)
		}
		resp, got, err := do(method, path, body)
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", method, path, err)
		case resp.StatusCode != status:
			return fmt.Errorf("%s %s: %d %.200q, want %d", method, path, resp.StatusCode, got, status)
		case status == 200 && !strings.HasPrefix(path, "/file") && resp.Header.Get("Echo-Nonce") != nonce:
			return fmt.Errorf("%s %s: the answer is %s's", method, path, resp.Header.Get("Echo-Nonce"))
		case status == 200 && got != text, !strings.Contains(got, text):
			return fmt.Errorf("%s %s: %d bytes, %.100q; want %d, %.100q", method, path, len(got), got, len(text), text)
		}
		return nil
	}
	echoed := strings.Repeat(nonce+" ", 1+random.IntN(3000))
	switch kind {
	case 0, 1:
		return want("POST", app+"/echo", echoed, 200, echoed)
	case 2:
		return want("POST", "/cgi/echo", echoed, 200, echoed)
	case 3:
		return want("POST", "/up/x", echoed, 200, echoed)
	case 4:
		return want("GET", "/file.bin", "", 200, s.file)
	case 5:
		return want("GET", app+"/keep", "", 200, nonce)
	case 6:
		return want("GET", app+"/stream", "", 200, fmt.Sprintf("%[1]s 0\n%[1]s 1\n%[1]s 2\n%[1]s 3\n%[1]s 4\n", nonce))
	case 7:
		return want("GET", app+"/large?n=20", "", 200, strings.Repeat(nonce+"\n", 20000))
	case 8:
		return want("GET", app+"/exit", "", 500, "failed")
	case 9:
		return want("GET", app+"/panic", "", 500, "failed")
	case 10:
		return want("GET", "/cgi/trap", "", 500, "failed")
	case 11:
		if random.IntN(8) > 0 { // these cost much
			return nil
		}
		return want("GET", app+"/grow", "", 500, "")
	case 12:
		if random.IntN(8) > 0 {
			return nil
		}
		return want("GET", app+"/spin", "", 504, "too long")
	case 13:
		if resp, got, err := do("GET", app+"/cut", nil); err == nil {
			return fmt.Errorf("half an answer looks whole: %d %q", resp.StatusCode, got)
		}
		return nil
	default: // the client leaves
		time.AfterFunc(time.Duration(random.IntN(8000))*time.Microsecond, cancel)
		path := []string{app + "/large?n=1000", app + "/spin", app + "/keep", "/up/x", "/cgi/echo", app + "/echo"}[random.IntN(6)]
		_, _, _ = do("POST", path, io.MultiReader(strings.NewReader(echoed), lateEnd{random.IntN(5)}))
		return nil
	}
}

// lateEnd is the end of a body that comes some milliseconds late.
type lateEnd struct{ ms int }

func (s lateEnd) Read([]byte) (int, error) {
	time.Sleep(time.Duration(s.ms) * time.Millisecond)
	return 0, io.EOF
}

// slack is how many goroutines and descriptors come and go by themselves.
const slack = 10

// A usage is what the server uses.
type usage struct {
	goroutines, descriptors int
	memory                  int64
	requests                int // under way
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MiB", u.goroutines, u.descriptors, u.memory>>20)
}

// settled waits until nothing is under way, and for a while for what is left
// to become as little as it was.
func (s *soak) settled(first usage) (u usage) {
	s.t.Helper()
	s.http1.CloseIdleConnections()
	s.http2.CloseIdleConnections()
	previous := usage{}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		u = s.usage()
		if u.requests > 0 {
			continue
		}
		if first.goroutines == 0 && u.goroutines == previous.goroutines && u.descriptors == previous.descriptors {
			return u
		}
		if first.goroutines > 0 && u.goroutines <= first.goroutines+slack && u.descriptors <= first.descriptors+slack {
			return u
		}
		previous = u
	}
	if u.requests > 0 {
		s.t.Errorf("%d requests are still under way", u.requests)
	}
	return u
}

// usage reads the metrics.
func (s *soak) usage() (u usage) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	status, text, err := fetch(s.t.Context(), client, "GET", "http://metrics/metrics", nil)
	if err != nil || status != 200 {
		s.t.Fatalf("metrics: %d, %v", status, err)
	}
	values := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "hako_http_requests_in_flight"} {
		if _, ok := values[name]; !ok {
			s.t.Fatalf("there is no metric %s in\n%s", name, text)
		}
	}
	return usage{
		goroutines: int(values["go_goroutines"]), descriptors: int(values["process_open_fds"]),
		memory: int64(values["process_resident_memory_bytes"]), requests: int(values["hako_http_requests_in_flight"]),
	}
}
