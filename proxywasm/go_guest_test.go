package proxywasm_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pw "github.com/hako-run/hako/proxywasm"
)

// root is the configuration for one class of testdata/go.
func root(id, config string) []pw.Root { return []pw.Root{{RootID: id, Config: []byte(config)}} }

func TestGoHeaders(t *testing.T) {
	p, log := load(t, goGuest(t), pw.Config{Roots: root("headers", "")})
	request := post("/a", []string{"text"}, "x-secret", "1", "x-secret", "2")
	request.trailers = pw.MakeHeaders("x-end", "1")
	response := answer("200", "ok")
	response.trailers = pw.MakeHeaders("x-sum", "old")
	got := exchange(t, p, 0, request, response)
	if got.upstream == nil {
		t.Fatal("the upstream got nothing")
	}
	expect(t, got.upstream.headers, "x-counted", "6=6")
	expect(t, got.upstream.headers, "x-many", "a", "b")
	expect(t, got.upstream.headers, "x-secret")
	expect(t, got.upstream.headers, ":path", "/a?seen")
	expect(t, got.upstream.trailers, "x-checked", "yes")
	expect(t, got.upstream.trailers, "x-end", "1")
	expect(t, got.client.headers, "server")
	expect(t, got.client.headers, "x-by", "plugin")
	expect(t, got.client.headers, "x-empty", "")
	expect(t, got.client.headers, ":status", "200")
	expect(t, got.client.trailers, "x-sum", "new")
	if got.x.RoutesCleared() == 0 {
		t.Error("changed request headers did not have the route chosen anew")
	}
	log.waitFor("done: 200")
}

func TestGoAuth(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	auth := func(call *pw.HTTPCall) (*pw.HTTPResponse, error) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(call.Headers.Value(":method"), " ", call.Headers.Value(":path"), " ", string(call.Body), " ",
			call.Trailers.Value("x-end"), " ", call.Timeout))
		mu.Unlock()
		switch call.Headers.Value("authorization") {
		case "good":
			return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "200"), Body: []byte("alice")}, nil
		case "late":
			return nil, errors.New("timeout")
		}
		return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "403")}, nil
	}
	dispatcher := &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": auth, "secret": auth}}
	p, _ := load(t, goGuest(t), pw.Config{
		Roots:      []pw.Root{{RootID: "auth", Config: []byte("auth")}, {RootID: "auth", Config: []byte("secret")}},
		Dispatcher: dispatcher, Allow: []string{"http_call:auth"},
	})
	for _, c := range []struct {
		token, status, body string
		root                int
	}{
		{"good", "200", "page", 0},
		{"bad", "401", "status 403", 0},
		{"late", "503", "no answer", 0},
		{"good", "503", "no call: error status returned by host: bad argument", 1}, // not allowed
	} {
		got := exchange(t, p, c.root, get("/", "authorization", c.token), answer("200", "page"))
		expect(t, got.client.headers, ":status", c.status)
		if got.client.text() != c.body {
			t.Errorf("%s: the client got %q, want %q", c.token, got.client.text(), c.body)
		}
		if passed := got.upstream != nil; passed != (c.status == "200") {
			t.Errorf("%s: passed on: %v", c.token, passed)
		}
		if got.upstream != nil {
			expect(t, got.upstream.headers, "x-user", "alice")
			expect(t, got.upstream.headers, "authorization")
		} else {
			expect(t, got.client.headers, "x-refused", "1")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "POST /check who? 1 500ms"; len(seen) != 3 || seen[0] != want {
		t.Errorf("the authority was asked %q, want %q thrice", seen, want)
	}
}

// A slowHost takes its time to be told of a response.
type slowHost struct{ pw.Exchange }

func (h *slowHost) Respond(r *pw.LocalResponse) {
	time.Sleep(50 * time.Millisecond)
	h.Exchange.Respond(r)
}

// Who waits for a stream finds the response that ended it.
func TestGoAnsweredWhileWaiting(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{
		Roots: root("auth", "auth"), Allow: []string{"http_call:auth"},
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": authority}},
	})
	h := &slowHost{pw.Exchange{RequestHeaders: get("/", "authorization", "bad").headers}}
	s := p.NewStream(0, h)
	defer s.Close()
	s.RequestHeaders(true)
	if err := s.Wait(t.Context(), pw.Request); !errors.Is(err, pw.ErrAnswered) || h.Local() == nil {
		t.Errorf("waiting gave %v, with the response %v", err, h.Local())
	}
}

// Many requests wait for their calls at once, in few VMs, and each gets its
// own answer.
func TestGoAuthMany(t *testing.T) {
	auth := func(call *pw.HTTPCall) (*pw.HTTPResponse, error) {
		token := call.Headers.Value("authorization")
		n, _ := strconv.Atoi(token)
		time.Sleep(time.Duration(n%7) * time.Millisecond)
		return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "200"), Body: []byte("user " + token)}, nil
	}
	p, _ := load(t, goGuest(t), pw.Config{
		Roots: root("auth", "auth"), Allow: []string{"http_call:*"}, VMs: 2,
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": auth}},
	})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			got := exchange(t, p, 0, get("/", "authorization", strconv.Itoa(i)), answer("200"))
			if got.upstream == nil {
				t.Errorf("%d was refused: %s", i, got.client.text())
				return
			}
			expect(t, got.upstream.headers, "x-user", "user "+strconv.Itoa(i))
		})
	}
	wg.Wait()
}

func TestGoBody(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("body", "")})
	for change, want := range map[string]string{
		"append":  "one two three calls=3",
		"prepend": "first one two three",
		"replace": "ONE TWO THREE",
		"":        "one two three",
	} {
		request := post("/", []string{"one ", "two ", "three"}, "x-change", change, "content-length", "13")
		got := exchange(t, p, 0, request, answer("200", `<a href="ht`, `tp://a.test">`))
		if got.upstream == nil || got.upstream.text() != want {
			t.Errorf("%s: the upstream got %v, want %q", change, got.upstream, want)
			continue
		}
		if len(got.upstream.body) != 1 {
			t.Errorf("%s: the body went on in %d parts", change, len(got.upstream.body))
		}
		expect(t, got.upstream.headers, "content-length")
		if got.client.text() != `<a href="https://a.test">` {
			t.Errorf("the client got %q", got.client.text())
		}
	}
}

func TestGoChunks(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("chunks", "")})
	got := exchange(t, p, 0, post("/", []string{"a", "bc", "", "d"}), answer("200", "x", "yz"))
	if want := []string{"[1:a]", "[2:bc]", "[4:d]"}; got.upstream == nil || !slices.Equal(got.upstream.body, want) {
		t.Errorf("the upstream got %v, want %q", got.upstream, want)
	}
	if want := []string{"X", "YZ!"}; !slices.Equal(got.client.body, want) {
		t.Errorf("the client got %q, want %q", got.client.body, want)
	}
}

func TestGoJSON(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("json", `["id", "name"]`)})
	for _, c := range []struct{ kind, body, status, text string }{
		{"application/json", `{"id": 1, "name": "tea"}`, "200", "ok"},
		{"application/json", `{"id": 1}`, "400", "no name"},
		{"application/json", `{"id": `, "400", "unexpected end of JSON input"},
		{"text/plain", `{"id": 1, "name": "tea"}`, "415", "JSON is wanted"},
	} {
		half := len(c.body) / 2
		got := exchange(t, p, 0, post("/", []string{c.body[:half], c.body[half:]}, "content-type", c.kind), answer("200", "ok"))
		expect(t, got.client.headers, ":status", c.status)
		if got.client.text() != c.text {
			t.Errorf("%s: the client got %q, want %q", c.body, got.client.text(), c.text)
		}
	}
}

func TestGoMetrics(t *testing.T) {
	metrics := pw.NewRegistry()
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("metrics", ""), Metrics: metrics, VMs: 3})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { exchange(t, p, 0, get("/"), answer("200")) })
	}
	wg.Wait()
	got := exchange(t, p, 0, get("/"), answer("200"))
	expect(t, got.upstream.headers, "x-requests", "21")
	values := map[string]uint64{}
	for _, m := range metrics.All() {
		values[m.Type.String()+" "+m.Name] = m.Value()
	}
	if values["counter requests"] != 21 || values["gauge active"] != 0 || values["histogram sizes"] != 21*4 {
		t.Errorf("metrics are %v", values)
	}
}

func TestGoSharedData(t *testing.T) {
	shared := pw.NewShared()
	const each = 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for _, name := range []string{"one", "two"} {
		p, _ := load(t, goGuest(t), pw.Config{Name: name, VMID: "counters", Roots: root("shared", ""), Shared: shared, VMs: 2})
		for range each {
			wg.Go(func() {
				got := exchange(t, p, 0, get("/"), answer("200"))
				mu.Lock()
				defer mu.Unlock()
				seen[got.upstream.headers.Value("x-count")] = true
			})
		}
	}
	wg.Wait()
	if len(seen) != 2*each || !seen["1"] || !seen[strconv.Itoa(2*each)] {
		t.Errorf("%d different numbers of %d requests", len(seen), 2*each)
	}
	other, _ := load(t, goGuest(t), pw.Config{VMID: "others", Roots: root("shared", ""), Shared: shared})
	got := exchange(t, other, 0, get("/"), answer("200"))
	expect(t, got.upstream.headers, "x-count", "1")
}

func TestGoQueues(t *testing.T) {
	shared := pw.NewShared()
	_, log := load(t, goGuest(t), pw.Config{Name: "receiver", VMID: "receivers", Roots: root("receiver", ""), Shared: shared})
	sender, _ := load(t, goGuest(t), pw.Config{
		Name: "sender", VMID: "senders", Roots: root("sender", "receivers"), Shared: shared, Allow: []string{"queue:receivers"},
	})
	for i := range 20 {
		exchange(t, sender, 0, get("/"+strconv.Itoa(i)), answer("200"))
	}
	for i := range 20 {
		line := "received /" + strconv.Itoa(i)
		log.waitFor(line)
		if n := log.count(line); n != 1 {
			t.Errorf("%q was logged %d times", line, n)
		}
	}
}

func TestGoPostpone(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("postpone", ""), VMs: 1})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			got := exchange(t, p, 0, post("/", []string{"some", "thing"}), answer("200"))
			if got.upstream == nil || got.upstream.text() != "something" {
				t.Errorf("the upstream got %v", got.upstream)
				return
			}
			expect(t, got.upstream.headers, "x-postponed", "1")
		})
	}
	wg.Wait()
}

func TestGoTicker(t *testing.T) {
	clock := func(call *pw.HTTPCall) (*pw.HTTPResponse, error) {
		return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "200"), Body: []byte("noon at " + call.Headers.Value(":authority"))}, nil
	}
	_, log := load(t, goGuest(t), pw.Config{
		Roots: root("ticker", "clock"), Allow: []string{"http_call:clock"},
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"clock": clock}},
	})
	eventually(t, "two ticks", func() bool { return log.count("it is noon at clock") >= 2 })
}

func TestGoProperties(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{Name: "props", VMID: "vm 7", Roots: root("properties", "")})
	got := exchange(t, p, 0, get("/a?b=c", "x-one", "eins"), answer("200"))
	if got.upstream == nil {
		t.Fatal("the upstream got nothing")
	}
	h := got.upstream.headers
	expect(t, h, "x-property", "/a?b=c", "GET", "HTTP/1.1", "eins", "192.0.2.7:4711", "props", "vm 7")
	expect(t, h, "x-port", "4711")
	expect(t, h, "x-in-map", "eins")
	expect(t, h, "x-own", "value")
}

func TestGoConfigured(t *testing.T) {
	p, _ := load(t, goGuest(t), pw.Config{
		VMConfig: []byte("all"),
		Roots:    []pw.Root{{RootID: "configured", Config: []byte("one")}, {RootID: "configured", Config: []byte("two")}, {RootID: "configured"}},
	})
	for i, want := range []string{"all|one", "all|two", "all|"} {
		got := exchange(t, p, i, get("/"), answer("200"))
		expect(t, got.upstream.headers, "x-configured", want)
	}
	if _, _, err := tryLoad(t, goGuest(t), pw.Config{Roots: root("configured", "refused")}); !errors.Is(err, pw.ErrConfigure) {
		t.Errorf("a configuration that the plugin refuses gave %v", err)
	}
	if _, _, err := tryLoad(t, goGuest(t), pw.Config{Roots: root("nobody", "")}); err == nil || !strings.Contains(err.Error(), "guest") {
		t.Errorf("a root id that the plugin does not have gave %v", err)
	}
}

func TestGoForeign(t *testing.T) {
	var functions pw.Foreign
	functions.Register("reverse", func(call *pw.ForeignCall, args []byte) ([]byte, pw.Status) {
		back := slices.Clone(args)
		slices.Reverse(back)
		return back, pw.StatusOK
	})
	p, _ := load(t, goGuest(t), pw.Config{Roots: root("foreign", ""), Foreign: &functions, Allow: []string{"foreign:*"}})
	got := exchange(t, p, 0, get("/abc"), answer("200"))
	if got.upstream == nil {
		t.Fatal("the upstream got nothing")
	}
	expect(t, got.upstream.headers, "x-reverse", "cba/")
	expect(t, got.upstream.headers, "x-missing", "error status returned by host: not found")
}

func TestGoNetwork(t *testing.T) {
	metrics := pw.NewRegistry()
	p, log := load(t, goGuest(t), pw.Config{Roots: root("network", ""), Metrics: metrics})
	x := &pw.Exchange{}
	s := p.NewStream(0, x)
	if a := s.NewConnection(); a != pw.Continue {
		t.Fatalf("the connection: %v", a)
	}
	if a := s.DownstreamData([]byte("hel"), false); a == pw.Continue {
		t.Errorf("half a line passes")
	}
	if a := s.DownstreamData([]byte("lo\n"), false); a != pw.Continue {
		t.Errorf("a line: %v", a)
	} else if got := string(s.TakeBody(pw.Downstream)); got != "> hello\n" {
		t.Errorf("the server gets %q", got)
	}
	if a := s.UpstreamData([]byte("welcome"), false); a != pw.Continue {
		t.Errorf("the answer: %v", a)
	} else if got := string(s.TakeBody(pw.Upstream)); got != "welcome<\n" {
		t.Errorf("the client gets %q", got)
	}
	if a := s.DownstreamData([]byte("bye\n"), false); a == pw.Continue || !x.WasReset(pw.Downstream) {
		t.Errorf("bye: %v, closed: %v", a, x.WasReset(pw.Downstream))
	}
	s.DownstreamClose(pw.PeerRemote)
	s.UpstreamClose(pw.PeerLocal)
	s.Close()
	log.waitFor("client closed by 2")
	log.waitFor("server closed by 1")
	for _, m := range metrics.All() {
		if m.Name == "connections" && m.Value() != 0 {
			t.Errorf("%d connections are left", m.Value())
		}
	}
}
