package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
)

// serveFor runs hako up with a configuration until the test ends, and returns
// where it listens.
func (h *harness) serveFor(t *testing.T, dir, name, text string) (url string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "hako.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs lockedBuffer
	done := make(chan int)
	go func() {
		done <- newApp(Streams{strings.NewReader(""), &out, &errs}).run(ctx, []string{"--data", h.data, "up", "--name", name, dir})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK && code != exitInterrupted {
			t.Errorf("exit code %d\n%s", code, &errs)
		}
	})
	for deadline := time.Now().Add(time.Minute); url == ""; time.Sleep(10 * time.Millisecond) {
		if m := regexp.MustCompile(`msg=serving on=(127\.0\.0\.1:\d+)`).FindStringSubmatch(errs.String()); m != nil {
			url = "http://" + m[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve:\n%s", &errs)
		}
	}
	return url
}

func siteConfig(guest, databases, more string) string {
	return fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
%s
[[app]]
name = "site"
image = %q
[[route]]
name = "pages"
match = { path = "/*" }
app = "site"
%s`, databases, guest, more)
}

func TestLogsAndStats(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	dir := t.TempDir()
	guest := guestbuild.Go(t, "../../app/worker/testdata/site", "-buildmode=c-shared")
	h.fails(exitFailed, "nothing runs", "logs")
	h.fails(exitFailed, "no such process", "logs", "web")
	if out := h.ok("stats"); !strings.Contains(out, "NAME") {
		t.Errorf("nothing runs, and stats say\n%s", out)
	}
	url := h.serveFor(t, dir, "web", siteConfig(guest, "[[database]]\nname = \"shop\"\n", ""))
	get := func(path string) {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	// wants waits until a command prints what is wanted, for logs are written
	// after answers.
	wants := func(want string, args ...string) (out string) {
		t.Helper()
		for range 500 {
			if out = h.ok(args...); strings.Contains(out, want) {
				return out
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s prints no %q:\n%s", strings.Join(args, " "), want, out)
		return ""
	}
	get("/finish")
	get("/panic")
	wants("500 GET /panic", "logs", "--source", "access")
	wants("site     after\n", "logs") // by standard output, without a mark
	wants("site     ERROR app failed", "logs", "site")
	if out := wants("/panic", "logs", "web", "--source", "access"); !strings.Contains(out, "500 GET /panic") || strings.Contains(out, "after\n") {
		t.Errorf("the access log\n%s", out)
	}
	if out := h.ok("logs", "-n", "1", "--json", "--source", "access"); strings.Count(out, "\n") != 1 {
		t.Errorf("one line\n%s", out)
	} else {
		var l struct {
			Source, App string
			Time        time.Time
			Fields      struct{ Status int }
		}
		if err := json.Unmarshal([]byte(out), &l); err != nil || l.Source != "access" || l.App != "site" || l.Fields.Status != 500 || time.Since(l.Time) > time.Minute {
			t.Errorf("%s: %+v, %v", out, l, err)
		}
	}
	if out := h.ok("logs", "--since", "1h"); !strings.Contains(out, "serving") {
		t.Errorf("since an hour ago\n%s", out)
	}
	if out := h.ok("logs", "--since", "2100-01-01"); out != "" {
		t.Errorf("since a time to come\n%s", out)
	}
	h.fails(exitUsage, "server, app, access", "logs", "--source", "x")
	h.fails(exitUsage, "neither a time", "logs", "--since", "x")
	h.fails(exitFailed, `no app "shop"`, "logs", "--app", "shop")
	h.fails(exitUsage, "opposites", "stats", "-f", "--no-stream")
	h.fails(exitUsage, "at least", "stats", "--interval", "1ms")
	h.fails(exitFailed, "no such process", "stats", "other")

	// Followed while it goes on.
	ctx, cancel := context.WithCancel(context.Background())
	var followed lockedBuffer
	ended := make(chan int)
	go func() {
		ended <- newApp(Streams{strings.NewReader(""), &followed, &lockedBuffer{}}).run(ctx, []string{"--data", h.data, "logs", "-f", "-n", "0", "--source", "access"})
	}()
	for range 500 {
		get("/hello?followed")
		if strings.Contains(followed.String(), "GET /hello?followed") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if out := followed.String(); !strings.Contains(out, "200 GET /hello?followed") || strings.Contains(out, "/panic") {
		t.Errorf("followed\n%s", out)
	}
	cancel()
	if code := <-ended; code != exitOK && code != exitInterrupted {
		t.Errorf("exit code %d of logs -f", code)
	}

	// The figures of an interval in which requests and commits come.
	stop, busy := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(busy)
		for {
			select {
			case <-stop:
				return
			default:
				if resp, err := http.Get(url + "/hello"); err == nil {
					resp.Body.Close()
				}
				if resp, err := http.Get(url + "/exit"); err == nil {
					resp.Body.Close()
				}
				newApp(Streams{strings.NewReader(""), &lockedBuffer{}, &lockedBuffer{}}).run(context.Background(), []string{"--data", h.data, "db", "shell", "shop", "CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)"})
			}
		}
	}()
	var rates []processRates
	if err := json.Unmarshal([]byte(h.ok("stats", "--json", "--interval", "2s", "web")), &rates); err != nil || len(rates) != 1 {
		t.Fatal(rates, err)
	}
	table := h.ok("stats")
	close(stop)
	<-busy
	r := rates[0]
	if len(r.Apps) != 1 || len(r.Routes) != 1 || len(r.Databases) != 1 {
		t.Fatalf("%+v", r)
	}
	a, route, db := r.Apps[0], r.Routes[0], r.Databases[0]
	if a.Name != "site" || a.Requests <= 0 || a.P50 <= 0 || a.P99 < a.P50 || a.Forks <= 0 || a.CPU <= 0 || a.Errors <= 0 || a.Crashes == 0 {
		t.Errorf("app %+v", a)
	}
	if route.Name != "pages" || route.App != "site" || route.Requests != a.Requests || route.Total < 3 || route.Failed == 0 {
		t.Errorf("route %+v", route)
	}
	if db.Name != "shop" || db.Commits <= 0 || db.Version < 2 {
		t.Errorf("database %+v", db)
	}
	if r.Memory <= 0 || r.CPU <= 0 {
		t.Errorf("process %+v", r)
	}
	for _, want := range []string{"web  cpu", "APP", "site", "ROUTE", "pages", "DATABASE", "shop", "crashed"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q\n%s", want, table)
		}
	}
}

// What ps shows of a server is what it serves now.
func TestPsAfterReload(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	dir := t.TempDir()
	guest := guestbuild.Go(t, "../../app/worker/testdata/site", "-buildmode=c-shared")
	h.serveFor(t, dir, "web", siteConfig(guest, "[[database]]\nname = \"shop\"\n", ""))
	if out := h.ok("ps"); !strings.Contains(out, "site") || !strings.Contains(out, "shop") {
		t.Errorf("it shows\n%s", out)
	}
	text := siteConfig(guest, "[[database]]\nname = \"blog\"\n", fmt.Sprintf("[[app]]\nname = \"more\"\nimage = %q\n", guest))
	if err := os.WriteFile(filepath.Join(dir, "hako.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h.ok("reload", "web")
	if out := h.ok("ps"); !strings.Contains(out, "site more") || !strings.Contains(out, "blog") || strings.Contains(out, "shop") {
		t.Errorf("after a reload it shows\n%s", out)
	}
}

// What hako run runs is seen by logs and stats too.
func TestLogsOfRun(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	done := make(chan string)
	go func() {
		_, out, errs := h.run("", "run", "--name", "sleeper", guest, "say", "oh no", "sleep")
		done <- out + errs
	}()
	var out string
	for range 1000 {
		if code, o, _ := h.run("", "logs", "sleeper"); code == exitOK && strings.Contains(o, "oh no") {
			out = o
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(out, "! oh no") {
		t.Errorf("logged\n%s", out)
	}
	if out := h.ok("logs", "-n", "1", "--json"); !strings.Contains(out, `"stream":"stderr","text":"oh no"`) {
		t.Errorf("the only process's\n%s", out)
	}
	if table := h.ok("stats", "--interval", "100ms"); !strings.Contains(table, "sleeper") || !strings.Contains(table, "iB") {
		t.Errorf("stats\n%s", table)
	}
	h.ok("stop", "sleeper")
	if out := <-done; !strings.Contains(out, "oh no\n") || strings.Contains(out, "! ") {
		t.Errorf("itself it printed\n%s", out)
	}
}

func TestServerLog(t *testing.T) {
	var out strings.Builder
	level := &slog.LevelVar{}
	log := serverLog(&out, &config.Log{Level: "warn", Format: "json"}, level)
	log.Info("one")
	log.Warn("two")
	setLevel(level, "debug")
	log.Debug("three")
	if got := out.String(); strings.Contains(got, "one") || !strings.Contains(got, `"level":"WARN","msg":"two"}`) || !strings.Contains(got, `"msg":"three"`) {
		t.Errorf("logged\n%s", got)
	}
}
