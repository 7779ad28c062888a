// Package lua tests Debian's Lua as a guest.
package lua

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
)

const script = `
local ok, err = pcall(error, {code = 7})
print(ok, err.code, select("#", ...), ...)
local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) error("in a coroutine " .. b) end)
print(co(1), pcall(co, "x"))
for line in io.lines("/data/in.txt") do io.write(line:upper(), ";") end print()
local f = assert(io.open("/data/out.txt", "w")) f:write(string.format("%.3f %q", math.pi, "a\nb")) f:close()
print(io.open("/etc/passwd"))
print(os.getenv("HOME"), os.getenv("MODE"), os.execute())
local t = assert(io.tmpfile()) t:write("temporary") t:seek("set") print(t:read("a"))
print(string.rep("ab", 3, "-"), ("x"):byte(), #utf8.char(0x7bb1), 7 // 2, 7 % -3, 1 << 40)
print(pcall(string.rep, "x", 1 << 40))
local depth = 0
local function dive() depth = depth + 1 return 1 + dive() end
ok, err = pcall(dive)
print(ok, err:match("stack overflow"), depth > 1000)
os.exit(5)
`

func TestLua(t *testing.T) {
	out, err := exec.Command("./build.sh").Output()
	if err != nil {
		t.Fatalf("build Lua: %v", err)
	}
	source, err := os.ReadFile(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := app.NewRunner(guestbuild.Compiled(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx := context.Background()
	m, err := r.Engine().Compile(ctx, "lua", source)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := r.Start(ctx, m, app.Spec{
		Args: []string{"lua", "-", "a", "b"}, Env: []string{"MODE=test"},
		Dirs:   []app.DirGrant{{Host: dir, Guest: "/data"}, {Host: t.TempDir(), Guest: "/tmp"}},
		Limits: engine.Limits{Memory: 256 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var stdout, stderr bytes.Buffer
	code, err := p.Run(ctx, app.Streams{Stdin: strings.NewReader(script), Stdout: &stdout, Stderr: &stderr})
	want := `false	7	2	a	b
2	false	stdin:4: in a coroutine x
ONE;TWO;
nil	/etc/passwd: No such file or directory	44
nil	test	false
temporary
ab-ab-ab	120	3	3	-2	1099511627776
false	resulting string too large
`
	got := stdout.String()
	if code != 5 || err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\ttrue\n") || !strings.Contains(got, "stack overflow") {
		t.Errorf("exit code %d, %v\n%s\nwant\n%s\n%s", code, err, got, want, &stderr)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.txt"))
	if err != nil || string(b) != "3.142 \"a\\\nb\"" {
		t.Errorf("wrote %q, %v", b, err)
	}
}
