package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// A lockedBuffer takes a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestUp(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	dir := t.TempDir()
	guest := guestbuild.Go(t, "../../app/worker/testdata/site", "-buildmode=c-shared")
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := func(count string) string {
		return fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]

[[database]]
name = "shop"
retain = "30d"

[[app]]
name = "site"
image = %q
template = { warm = ["/count"] }

[[route]]
match = { path = "/app/*" }
strip = "/app"
app = "site"

[[route]]
match = { path = %q }
static = "public"
`, guest, count)
	}
	write("public/index.html", "a page")
	write("hako.toml", config("/*"))
	h.ok("check", dir)

	ctx, cancel := context.WithCancel(context.Background())
	var out, errs lockedBuffer
	done := make(chan int)
	go func() {
		done <- newApp(Streams{strings.NewReader(""), &out, &errs}).run(ctx, []string{"--data", h.data, "up", "--name", "web", dir})
	}()
	var url string
	for deadline := time.Now().Add(time.Minute); url == ""; time.Sleep(10 * time.Millisecond) {
		if m := regexp.MustCompile(`msg=serving on=(127\.0\.0\.1:\d+)`).FindStringSubmatch(errs.String()); m != nil {
			url = "http://" + m[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve:\n%s", &errs)
		}
	}
	get := func(path string, status int, want string) {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != status || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %q, %v; want %d %q", path, resp.StatusCode, b, err, status, want)
		}
	}
	get("/", 200, "a page")
	get("/app/hello", 200, "hello GET /hello /app")
	get("/app/count", 200, "3")
	get("/app/count", 200, "3")
	get("/app/panic", 500, "failed")
	get("/../../etc/passwd", 404, "")
	if list := h.ok("ps"); !strings.Contains(list, "web") || !strings.Contains(list, strings.TrimPrefix(url, "http://")) {
		t.Errorf("ps lists\n%s", list)
	}
	h.fails(exitNotStarted, "web", "exec", "web")

	// Commands on databases go through the server.
	h.ok("db", "shell", "shop", "CREATE TABLE t(x); INSERT INTO t VALUES(7)")
	if out := h.ok("db", "shell", "shop", "SELECT x FROM t"); out != "7\n" {
		t.Errorf("selected %q", out)
	}
	if code, out, errs := h.run("SELECT x+1 FROM t;", "db", "shell", "shop"); code != exitOK || out != "8\n" {
		t.Errorf("from standard input: %d %q %q", code, out, errs)
	}
	if out := h.ok("db", "log", "shop", "--json"); strings.Count(out, `"version"`) != 2 {
		t.Errorf("log\n%s", out)
	}
	h.fails(exitFailed, `did you mean "shop"`, "db", "log", "shp")
	h.fails(exitUsage, "unknown flag", "db", "log", "--nonsense", "shop")
	t.Chdir(t.TempDir())
	h.ok("db", "export", "shop@1", "here.sqlite")
	if _, err := os.Stat("here.sqlite"); err != nil {
		t.Error(err)
	}
	h.ok("db", "branch", "shop@1", "preview")
	h.ok("db", "delete", "--yes", "preview")

	// A mistake leaves what there is in force.
	write("hako.toml", config("/*")+"nonsense = 1\n")
	h.fails(exitFailed, "nonsense", "check", dir)
	h.fails(exitFailed, "stays in force", "reload", "web")
	get("/", 200, "a page")
	write("hako.toml", config("/files/*"))
	h.ok("reload", "web")
	get("/", 404, "")
	get("/app/count", 200, "3")

	cancel()
	if code := <-done; code != exitOK && code != exitInterrupted {
		t.Errorf("exit code %d\n%s", code, &errs)
	}
	if list := h.ok("db", "show", "shop"); !strings.Contains(list, "30d") {
		t.Errorf("the database is\n%s", list)
	}
	if !strings.Contains(out.String(), `"/app/hello"`) || !strings.Contains(errs.String(), "on purpose") {
		t.Errorf("logs\n%s\n%s", &out, &errs)
	}
}

func TestInit(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	dir := filepath.Join(t.TempDir(), "site")
	h.ok("init", dir)
	h.ok("check", dir)
	h.fails(exitFailed, "left as it is", "init", dir)
	h.fails(exitFailed, "hako init", "up", t.TempDir())
}
