package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

func TestReplay(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	guest := guestbuild.Go(t, "../server/testdata/visits", "-buildmode=c-shared")
	dir := t.TempDir()
	t.Chdir(dir)
	text := fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
log.record = "requests"
[[database]]
name = "shop"
[[app]]
name = "visits"
image = %q
databases = ["shop"]
[[route]]
match = { path = "/app/*" }
strip = "/app"
app = "visits"
[[route]]
redirect = "/app/"
`, guest)
	config := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "hako.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config(text)
	h.fails(exitFailed, "nothing runs", "replay", "--last")
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs lockedBuffer
	done := make(chan int)
	go func() {
		done <- newApp(Streams{strings.NewReader(""), &out, &errs}).run(ctx, []string{"--data", h.data, "up", "--name", "web", dir})
	}()
	defer func() {
		cancel()
		if code := <-done; code != exitOK && code != exitInterrupted {
			t.Errorf("exit code %d\n%s", code, &errs)
		}
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
	h.fails(exitFailed, "no app has answered", "replay", "--last")
	send := func(method, path, body, want string) (id string) {
		t.Helper()
		r, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Speaker", "Ada")
		r.Header.Set("Cookie", "session=s3cret")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != want {
			t.Fatalf("%s: %q, %v; want %q", path, b, err, want)
		}
		id = resp.Header.Get("X-Request-Id")
		for range 1000 { // the line comes after the answer
			if strings.Contains(out.String(), id) {
				return id
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s is not logged:\n%s", path, &out)
		return ""
	}
	// replay runs one and returns what it prints, and what it says of it.
	replay := func(code int, args ...string) (out, says string) {
		t.Helper()
		got, out, says := h.run("", append([]string{"replay"}, args...)...)
		if got != code {
			t.Errorf("replay %q: exit code %d\n%s\n%s", args, got, out, says)
		}
		return out, says
	}
	contains := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("it lacks %q:\n%s", part, text)
			}
		}
	}

	// What is read again is the same, whatever has come since.
	add := send("GET", "/app/add", "", "count=1 rc=0 pinned=")
	list := send("GET", "/app/list", "", "count=1 rc=0 pinned=")
	send("GET", "/app/add", "", "count=2 rc=0 pinned=")
	answer, says := replay(exitOK, list)
	contains(answer, "200 OK\n", "X-Hako-Version: shop@2\n", "X-Hako-Snapshot: shop@2\n", "\n\ncount=1 rc=0 pinned=")
	contains(says, "GET /app/list of 2", " on shop@2\n", "without Cookie", "the same as the first answer: status 200, 20 bytes, hash ")
	if answer, says := replay(exitOK, list, "--diff"); says != "" || strings.Contains(answer, "count") {
		t.Errorf("with --diff: %q %q", answer, says)
	}

	// What wrote sees what there was before, and cannot write, but to a branch.
	answer, says = replay(exitOK, add)
	contains(answer, "count= rc=8")
	contains(says, " on shop@0\n", "differs: ")
	replay(exitFailed, add, "--diff")
	answer, says = replay(exitOK, add, "--branch", "try")
	contains(answer, "count=1 rc=0", "X-Hako-Version: try@2")
	contains(says, "wrote to branch try", "the same as the first answer")
	if list := h.ok("db", "shell", "try", "SELECT count(*) FROM t"); list != "1\n" {
		t.Errorf("the branch has %s", list)
	}
	if list := h.ok("db", "shell", "shop", "SELECT count(*) FROM t"); list != "2\n" {
		t.Errorf("the database has %s", list)
	}
	h.fails(exitFailed, "taken", "replay", add, "--branch", "try")
	h.fails(exitUsage, "database name", "replay", add, "--branch", "no name")

	// Bodies and headers come from the recorder, or from the command line.
	say := send("POST", "/app/say", "hello", "1: hello by Ada")
	answer, says = replay(exitOK, "--last", "--branch", "said")
	contains(answer, "1: hello by Ada")
	contains(says, "POST /app/say", "the same as the first answer")
	if err := os.WriteFile("body.txt", []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	answer, _ = replay(exitOK, say, "--branch", "said2", "--body", "@body.txt", "--header", "X-Speaker: Bob")
	contains(answer, "1: from a file by Bob")
	var result replayResult
	answer, _ = replay(exitOK, say, "--json")
	if err := json.Unmarshal([]byte(answer), &result); err != nil || result.Of != say || result.Status != 409 || result.Snapshots != "shop@3" ||
		len(result.Differs) != 3 || !strings.Contains(result.Body, "read") || fmt.Sprint(result.Withheld) != "[Cookie]" {
		t.Errorf("%v\n%s", err, answer)
	}

	// A line of the log does as well; what it lacks, the recorder adds.
	line := ""
	for l := range strings.Lines(out.String()) {
		if strings.Contains(l, list) {
			line = l
			break
		}
	}
	answer, _ = replay(exitOK, line, "--diff")
	contains(answer, "the same as the first answer")
	if code, answer, says := h.run(line, "replay", "-"); code != exitOK || !strings.Contains(answer, "count=1") {
		t.Errorf("from standard input: %d %s%s", code, answer, says)
	}
	unknown := strings.Replace(strings.Replace(line, list, "0000", 1), `"/app/list"`, `"/app/say"`, 1)
	unknown = strings.Replace(unknown, `"method":"GET"`, `"method":"POST","received":5`, 1)
	h.fails(exitFailed, "was not recorded", "replay", unknown)
	answer, says = replay(exitOK, unknown, "--body", "hi", "--branch", "said3")
	contains(answer, "1: hi by ")
	contains(says, "without its headers")

	h.fails(exitFailed, "no request", "replay", "ffff")
	h.fails(exitUsage, "no line of the access log", "replay", "{")
	h.fails(exitUsage, "no line of the access log", "replay", "{}")
	h.fails(exitUsage, "wants the ID", "replay")
	h.fails(exitUsage, "NAME: VALUE", "replay", "--last", "--header", "nonsense")
	h.fails(exitFailed, "only requests that an app answers", "replay", `{"method":"GET","uri":"/elsewhere"}`)
	h.fails(exitFailed, "no version 99", "replay", `{"method":"GET","uri":"/app/list","app":{"name":"visits","databases":{"shop":99}}}`)

	// A version that was trimmed is told so, and so is an app that is gone.
	h.ok("db", "trim", "--keep", "1", "shop")
	h.fails(exitFailed, "trimmed", "replay", `{"method":"GET","uri":"/app/list","app":{"name":"visits","databases":{"shop":4}}}`)
	config(strings.ReplaceAll(text, "visits", "others"))
	h.ok("reload", "web")
	h.fails(exitFailed, "app others answers it", "replay", list)
}
