package cli

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/hako-run/hako/internal/guestbuild"
)

const pluginHeader = "../../guest/c/proxy_wasm.h"

func greetingPlugin(t *testing.T) string {
	t.Helper()
	return guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(pluginHeader), "../../examples/filters/c/greeting.c"}, pluginHeader)
}

// goPlugin builds the plugin in Go and has it compiled, for that takes long
// enough to be told.
func (h *harness) goPlugin() string {
	h.t.Helper()
	plugin := guestbuild.Go(h.t, "../../proxywasm/testdata/go", "-buildmode=c-shared")
	h.run("", "plugin", "inspect", plugin)
	return plugin
}

// fileOf makes a file and returns its name.
func fileOf(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func has(t *testing.T, out string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(out, line) {
			t.Errorf("%s\nlacks %q", out, line)
		}
	}
}

func TestPluginInspect(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	plugin := greetingPlugin(t)
	has(t, h.ok("plugin", "inspect", plugin),
		"abi        0.2.1\n", "sdk        C or C++\n", "for        http\n", "allocator  proxy_on_memory_allocate\n", "forks      yes\n",
		"callbacks  proxy_on_context_create\n", "           proxy_on_response_headers\n", "env.proxy_send_local_response\n")

	var v pluginJSON
	if err := json.Unmarshal([]byte(h.ok("plugin", "inspect", "--json", "--root", "auth", h.goPlugin())), &v); err != nil {
		t.Fatal(err)
	}
	if v.ABI != "0.2.0" || v.SDK != "Go" || !v.HTTP || !v.TCP || v.Start != "_initialize" || v.Forks == nil || v.Problem != "" ||
		strings.Join(v.Allow, " ") != "http_call:UPSTREAM foreign:FUNCTION queue:VM_ID" {
		t.Errorf("%+v", v)
	}

	// Pinned, and from a registry.
	b, err := os.ReadFile(plugin)
	if err != nil {
		t.Fatal(err)
	}
	h.ok("plugin", "inspect", "--sha256", fmt.Sprintf("%x", sha256.Sum256(b)), plugin)
	h.fails(exitFailed, "it has the SHA-256", "plugin", "inspect", "--sha256", strings.Repeat("0", 64), plugin)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/greeting:1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b, "application/vnd.module.wasm.content.layer.v1+wasm"))
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	has(t, h.ok("plugin", "inspect", "oci://"+ref.String()), "abi        0.2.1\n")
	h.fails(exitFailed, "the key is not in PEM form", "plugin", "inspect", "oci://"+ref.String(), "--key", fileOf(t, "key", "x"))

	// What is none.
	none := fileOf(t, "none.wasm", "\x00asm\x01\x00\x00\x00")
	code, out, _ := h.run("", "plugin", "inspect", none)
	if has(t, out, "problem"); code != exitFailed {
		t.Errorf("a module that is no plugin: exit code %d", code)
	}
	h.fails(exitFailed, "not a Wasm module", "plugin", "inspect", fileOf(t, "x.wasm", "x"))
}

// TestPluginInspectOdd: what is no plugin is said to be what it is, with what
// to do about it.
func TestPluginInspectOdd(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	for text, want := range map[string]string{
		"":                "it is empty",
		"hello, world":    `it begins with "hello, w"`,
		"\x1f\x8b\x08":    "gunzip",
		"(module)":        "wat2wasm",
		"<!DOCTYPE html>": "page",
		"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
		"\x7fELF\x02": "a program for Linux",
		strings.Repeat("\x00", 257) + "ustar\x00": "tar archive",
		"\x00asm\x0d\x00\x01\x00":                 "compile it for preview 1",
		"\x00asm\x01\x00\x00\x00\x01\x7f":         "is it a WebAssembly module",
	} {
		h.fails(exitFailed, want, "plugin", "inspect", fileOf(t, "odd.wasm", text))
	}
	h.fails(exitFailed, "if it is an image, write oci://ghcr.io/acme/waf:1", "plugin", "inspect", "ghcr.io/acme/waf:1")

	inspect := func(want, code string, flags ...string) {
		t.Helper()
		module := guestbuild.C(t, append([]string{"-O2", "-nostdlib", "-fno-builtin", fileOf(t, "odd.c", code)}, flags...))
		status, out, errs := h.run("", "plugin", "inspect", module)
		if has(t, out, want); status != exitFailed {
			t.Errorf("exit code %d: %s", status, errs)
		}
	}
	const export, abi = "#define E(n) __attribute__((export_name(#n)))\n", "E(proxy_abi_version_0_2_1) void abi(void) {}\n"
	const allocator = "E(malloc) void *allocate(unsigned long n) { return 0; }\n"
	inspect("-buildmode=c-shared", "void _start(void) {}")
	inspect("an SDK of Proxy-Wasm adds that", export+"E(f) void f(void) {}", "-Wl,--no-entry")
	inspect("--export=malloc", export+abi, "-Wl,--no-entry")
	inspect("proxy_on_tick have parameters or results that no ABI has", export+abi+allocator+"E(proxy_on_tick) double tick(double d) { return d; }", "-Wl,--no-entry")
	// What is not there is listed, beside all that is.
	inspect("missing    env.proxy_dance\nproblem    it imports functions", export+abi+allocator+
		"__attribute__((import_module(\"env\"), import_name(\"proxy_dance\"))) int dance(void);\nE(proxy_on_tick) void tick(int n) { dance(); }", "-Wl,--no-entry")
}

func TestPluginRun(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	plugin := greetingPlugin(t)
	get := fileOf(t, "get.http", "GET /a HTTP/1.1\nHost: shop.test\n")
	recording := filepath.Join(t.TempDir(), "recording")
	out := h.ok("plugin", "run", plugin, "--request", get, "--config", "hi", "--record", recording,
		"--response", fileOf(t, "ok.http", "HTTP/1.1 200 OK\nServer: x\n\nhello\n"))
	if want := `proxy_on_context_create(context 1, root context 0)
  returned
proxy_on_configure(context 1, configuration size 2)
  proxy_get_buffer_bytes(plugin configuration, start 0, size 2) = OK, "hi"
  proxy_define_metric(counter, "greeting_refused") = OK, 4
  returned true
proxy_on_context_create(context 2, root context 1)
  returned
proxy_on_request_headers(context 2, headers 4, end true)
  proxy_get_header_map_value(request headers, ":path") = OK, "/a"
  proxy_get_header_map_value(request headers, "x-key") = NOT_FOUND
  returned continue
proxy_on_response_headers(context 2, headers 2, end false)
  proxy_add_header_map_value(response headers, "x-greeting", "hi") = OK
  returned continue
proxy_on_delete(context 2)
  returned
proxy_on_delete(context 1)
  returned

the upstream gets
  :method: GET
  :path: /a
  :scheme: http
  :authority: shop.test

the client gets
  :status: 200
  server: x
+ x-greeting: hi
  body of 6 bytes
  | hello

metrics
  counter greeting_refused: 0
`; out != want {
		t.Errorf("it printed:\n%s", out)
	}
	if info, err := os.Stat(recording); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the recording: %v, %v", info, err)
	}
	has(t, h.ok("plugin", "replay", plugin, recording), "it does what was recorded: 19 events\n")

	// Another configuration than the one that was recorded: what the plugin
	// does with it is something else.
	b, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	other := fileOf(t, "other", strings.Replace(string(b), `"data":"aGk="`, `"data":"aG8="`, 1))
	h.fails(exitFailed, `it gives proxy_add_header_map_value "ho" where the recording has "hi": the plugin does not do what was recorded`, "plugin", "replay", plugin, other)
	code, out, _ := h.run("", "plugin", "replay", "--json", plugin, other)
	if has(t, out, `"same": false`); code != exitFailed {
		t.Errorf("exit code %d", code)
	}

	private := fileOf(t, "private.http", "GET /private HTTP/1.1\nHost: shop.test\n")
	has(t, h.ok("plugin", "run", plugin, "--request", private), "\nthe plugin answers\n", "  :status: 403\n", "  counter greeting_refused: 1\n")
	var v runJSON
	if err := json.Unmarshal([]byte(h.ok("plugin", "run", plugin, "--request", private, "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Local != "request" || v.Upstream != nil || string(v.Client.Body) != "a key is needed\n" || len(v.Events) == 0 || v.Metrics[0].Value != 1 {
		t.Errorf("%+v", v)
	}
	if e := v.Events[0]; e.Name != "proxy_on_context_create" || e.Text != "proxy_on_context_create(context 1, root context 0)" {
		t.Errorf("%+v", e)
	}
}

func TestPluginRunGo(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	plugin := h.goPlugin()
	get := fileOf(t, "get.http", "GET /a HTTP/1.1\nHost: shop.test\nAuthorization: token\n")
	recording := filepath.Join(t.TempDir(), "recording")
	flags := []string{"plugin", "run", plugin, "--root", "auth", "--config", "@" + fileOf(t, "config", "auth"), "--request", get, "--cpu", "20s", "--wait", "20s"}
	out := h.ok(append(flags, "--call", "auth="+fileOf(t, "ok.http", "HTTP/1.1 200 OK\n\nmaria"), "--record", recording)...)
	has(t, out, `  proxy_http_call("auth", headers {":method: POST",`, "proxy_on_http_call_response(context 1, call 1, headers 1, body size 5, trailers 0)\n",
		"\n+ x-user: maria\n", "\n- authorization: token\n")
	has(t, h.ok("plugin", "replay", plugin, recording), "it does what was recorded")
	has(t, h.ok(flags...), "  :status: 503\n") // nothing answers

	// A plugin that refuses to start tells how far it came.
	code, out, errs := h.run("", "plugin", "run", plugin, "--root", "none", "--request", get, "--cpu", "20s")
	has(t, out, "proxy_on_context_create(context 1", `"plugin_root_id") = OK, "none"`, `wrote "panic: no plugin of root id none`)
	if has(t, errs, "guest trapped"); code != exitFailed {
		t.Errorf("exit code %d", code)
	}

	// The request comes from standard input.
	code, out, errs = h.run("POST /a HTTP/1.1\nHost: shop.test\nX-Change: replace\n\nhello", "plugin", "run", plugin, "--root", "body", "--request", "-", "--chunk", "2", "--cpu", "20s")
	if has(t, out, "+ body of 5 bytes\n  | HELLO\n"); code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestCheckPlugins: hako check looks at the plugins that are files.
func TestCheckPlugins(t *testing.T) {
	h := newHarness(t)
	check := func(module, more string) string {
		return fileOf(t, "hako.toml", fmt.Sprintf("[[filter]]\nname = \"f\"\nmodule = %q\n%s\n[[route]]\nfilters = [\"f\"]\nstatic = \".\"\n", module, more))
	}
	has(t, h.ok("check", check(greetingPlugin(t), "")), "ok: 1 route")
	h.fails(exitFailed, "filter f: load plugin", "check", check(fileOf(t, "x.wasm", "(module)"), ""))
	h.fails(exitFailed, "not a Proxy-Wasm plugin", "check", check(fileOf(t, "x.wasm", "\x00asm\x01\x00\x00\x00"), ""))
	h.fails(exitFailed, "it has the SHA-256", "check", check(greetingPlugin(t), "sha256 = \""+strings.Repeat("0", 64)+"\""))
}

func TestPluginMistakes(t *testing.T) {
	h := newHarness(t)
	guestbuild.ShareCompiled(t, h.data)
	plugin := greetingPlugin(t)
	get := fileOf(t, "get.http", "GET / HTTP/1.1\nHost: a\n")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "needs --request", []string{"run", plugin}},
		{exitUsage, "--call \"x\": write UPSTREAM=FILE", []string{"run", plugin, "--request", get, "--call", "x"}},
		{exitUsage, "--property \"x\": write PATH=VALUE", []string{"run", plugin, "--request", get, "--property", "x"}},
		{exitUsage, "--memory", []string{"run", plugin, "--request", get, "--memory", "much"}},
		{exitUsage, "--chunk", []string{"run", plugin, "--request", get, "--chunk", "-1"}},
		{exitFailed, "not an HTTP message", []string{"run", plugin, "--request", plugin}},
		{exitFailed, "allow \"x\"", []string{"run", plugin, "--request", get, "--allow", "x"}},
		{exitFailed, "not a recording", []string{"replay", plugin, get}},
		{exitFailed, "no such file", []string{"inspect", "/nowhere.wasm"}},
		{exitUsage, "did you mean \"hako plugin inspect\"", []string{"inspec", plugin}},
	} {
		code, _, errs := h.run("", append([]string{"plugin"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d\n%s", c.args, code, errs)
		}
	}
}
