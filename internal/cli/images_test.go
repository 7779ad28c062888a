package cli

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// imageContext makes a build context, with a Hakofile.toml unless there is
// another build file among the files (name, content ...).
func imageContext(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	if len(files) == 0 {
		files = []string{"Hakofile.toml", "module = \"app.wasm\"\nargs = [\"serve\", \"a b\"]\nenv = { A = \"1\" }\n"}
	}
	files = append(files, "app.wasm", "\x00asm\x01\x00\x00\x00")
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImagesFromBuildToRemoval(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	h := newHarness(t)
	h.equal("no images yet: fetch one with `hako pull IMAGE` or make one with `hako build -t NAME DIR`\n", "images")
	h.equal("[]\n", "images", "--json")
	dir := imageContext(t)
	var built builtJSON
	if err := json.Unmarshal([]byte(h.ok("build", "--json", "-t", "shop:1", dir)), &built); err != nil {
		t.Fatal(err)
	}
	digest := built.Digest
	if built.Name != "shop:1" || built.Layers != 1 || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("built %+v", built)
	}
	if out := h.ok("build", "-t", "shop:1", dir); !strings.HasPrefix(out, "built shop:1: "+digest+" (1 layer, ") {
		t.Errorf("build prints %s", out)
	}
	name := host + "/acme/shop:1"
	h.equal("shop:1 is "+name+" as well\n", "tag", "shop:1", name)
	h.equal("pushed "+name+": "+digest+"\n", "push", name)
	h.equal("untagged "+name+"\n", "rmi", name)
	h.equal("pulled "+name+": "+digest+"\n", "pull", name)
	h.equal(name+" is up to date: "+digest+"\n", "pull", name)
	out := h.ok("images")
	if lines := strings.Split(out, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "NAME ") || !strings.Contains(lines[2], digest[7:19]+"  wasi/wasm  -  ") {
		t.Errorf("images prints\n%s", out)
	}
	var list []imageInfoJSON
	if err := json.Unmarshal([]byte(h.ok("images", "--json")), &list); err != nil || len(list) != 2 || list[0].Digest != digest || list[0].Name == "" {
		t.Errorf("images --json: %+v, %v", list, err)
	}
	out = h.ok("inspect", "shop:1")
	for _, want := range []string{"name        shop:1\n", "digest      " + digest + "\n", "platform    wasi/wasm\n", "entrypoint  /app.wasm\n", "command     serve 'a b'\n", "env         A=1\n", "layer       sha256:"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect lacks %q:\n%s", want, out)
		}
	}
	var inspected []imageJSON
	if err := json.Unmarshal([]byte(h.ok("inspect", "--json", "shop:1", digest[7:15])), &inspected); err != nil || len(inspected) != 2 ||
		inspected[0].Digest != digest || inspected[0].Config.Cmd[1] != "a b" || len(inspected[1].Layers) != 1 {
		t.Errorf("inspect --json: %+v, %v", inspected, err)
	}
	archive := filepath.Join(t.TempDir(), "shop.tar")
	h.equal("saved 1 image to "+archive+"\n", "save", "-o", archive, "shop:1")
	h.fails(exitFailed, "has the names", "rmi", digest)
	h.equal("untagged "+name+"\nuntagged shop:1\ndeleted "+digest+"\n", "rmi", "--force", digest)
	h.equal("loaded shop:1: "+digest+"\n", "load", "-i", archive)
	h.equal("untagged shop:1\ndeleted "+digest+"\n", "rmi", "shop:1")
	piped, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := h.run(string(piped), "load"); code != exitOK || out != "loaded shop:1: "+digest+"\n" {
		t.Errorf("load from a pipe: %d %s%s", code, out, errs)
	}
	if out := h.ok("save", "shop:1"); out != string(piped) {
		t.Error("save to a pipe differs from save to a file")
	}
	h.ok("build", "-t", "shop:1", imageContext(t, "Dockerfile", "FROM scratch\nCOPY app.wasm /\n"))
	if out := h.ok("images", "prune"); !strings.HasPrefix(out, "deleted "+digest+"\nfreed ") {
		t.Errorf("prune prints %s", out)
	}
	h.equal("freed 0 B\n", "images", "prune")
}

func TestBuildFlags(t *testing.T) {
	h := newHarness(t)
	dir := imageContext(t, "other", "ARG A\nARG B\nFROM scratch AS one\nARG A\nARG B\nENV A=$A B=$B\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\nFROM one\nENV LAST=1\n")
	t.Setenv("B", "from the environment")
	layout, archive := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "x.tar")
	h.ok("build", "-f", filepath.Join(dir, "other"), "-t", "x", "--build-arg", "A=a=1", "--build-arg", "B", "--target", "one", "--platform", "wasip1/wasm", "-o", "oci:"+layout, dir)
	out := h.ok("inspect", "x")
	if !strings.Contains(out, "env         A=a=1\nenv         B=from the environment\n") || strings.Contains(out, "LAST") || !strings.Contains(out, "wasip1/wasm") {
		t.Errorf("inspect prints\n%s", out)
	}
	digest := strings.Fields(strings.SplitAfter(out, "digest")[1])[0]
	h.ok("rmi", "x")
	h.equal("loaded x:latest: "+digest+"\n", "load", "-i", layout)
	h.fails(exitUsage, "not empty", "build", "-o", "oci:"+layout, dir)
	h.fails(exitUsage, "write oci:DIR or FILE.tar", "build", "-o", "type=oci", dir)
	h.fails(exitUsage, "the environment has no NONE_SUCH", "build", "--build-arg", "NONE_SUCH", dir)
	h.fails(exitUsage, "there are wasi/wasm and wasip1/wasm", "build", "--platform", "linux/amd64", dir)
	h.fails(exitUsage, "neither a Hakofile.toml nor a Dockerfile", "build", t.TempDir())
	h.fails(exitUsage, "names are in lower case", "build", "-t", "Shop", dir)
	h.fails(exitFailed, "Hakofile.toml:1: unknown key modul: did you mean module?", "build", imageContext(t, "Hakofile.toml", "modul = \"x\""))
	code, _, errs := h.run("", "build", imageContext(t, "Dockerfile", "FROM scratch\nENTRYPOINT [\"/none.wasm\"]\n"))
	if code != exitOK || !strings.Contains(errs, "hako: warning: the entrypoint /none.wasm is not a file") {
		t.Errorf("a build without its module: %d, %s", code, errs)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	h.ok("build", "--artifact", "-t", "art", "-o", archive, imageContext(t, "Hakofile.toml", "module = \"app.wasm\""))
	if out := h.ok("images"); !strings.Contains(out, "wasip1/wasm artifact  2023-11-14T22:13:20Z  ") {
		t.Errorf("images prints\n%s", out)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	h.fails(exitUsage, "seconds since 1970", "build", dir)
}

func TestImageErrors(t *testing.T) {
	h := newHarness(t)
	h.fails(exitFailed, "`hako pull` fetches one", "inspect", "shop")
	h.fails(exitFailed, `unknown image "shop"`, "rmi", "shop")
	h.ok("build", "-t", "shop:1", imageContext(t))
	h.fails(exitFailed, `did you mean "shop:1"?`, "inspect", "shpo:1")
	h.fails(exitFailed, `did you mean "shop:1"?`, "push", "shop:2")
	h.fails(exitUsage, "is not an image reference", "pull", "a b")
	h.fails(exitUsage, "IMAGE: hako pull IMAGE", "pull")
	h.fails(exitFailed, "load", "load", "-i", filepath.Join(t.TempDir(), "none"))
	code, _, errs := h.run("no archive", "load")
	if code != exitFailed || !strings.Contains(errs, "no archive of images") {
		t.Errorf("load of text: %d %s", code, errs)
	}
}
