package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestSaveLoad(t *testing.T) {
	from := newStore(t)
	one := build(t, from, smallContext(t), "shop:1")
	two, err := from.Build(t.Context(), BuildOptions{Dir: writeFiles(t, "Hakofile.toml", `module = "app.wasm"`, "app.wasm", module), Name: "ghcr.io/acme/mod:2", Artifact: true})
	if err != nil {
		t.Fatal(err)
	}
	var plain, again bytes.Buffer
	refs := []string{"shop:1", "ghcr.io/acme/mod:2"}
	var done, total int64
	if err := from.Save(t.Context(), refs, &plain, func(d, n int64) { done, total = d, n }); err != nil || done != total {
		t.Fatalf("%v, %d of %d", err, done, total)
	}
	if err := from.Save(t.Context(), refs, &again, nil); err != nil || !bytes.Equal(plain.Bytes(), again.Bytes()) {
		t.Errorf("saved again it differs (%v)", err)
	}
	check := func(how string, list []Pulled, err error, s *Store) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", how, err)
			return
		}
		if len(list) != 2 || list[0] != (Pulled{"shop:1", one.Digest, true}) || list[1] != (Pulled{"ghcr.io/acme/mod:2", two.Digest, true}) {
			t.Errorf("%s: %+v", how, list)
		}
		if got := rootOf(t, s, "shop:1"); !strings.Contains(got, "index.html=hello") {
			t.Errorf("%s: %s", how, got)
		}
	}
	for how, b := range map[string][]byte{"plain": plain.Bytes(), "gzip": gzipped(t, plain.Bytes()), "zstd": zstded(t, plain.Bytes())} {
		s := newStore(t)
		list, err := s.LoadFrom(t.Context(), bytes.NewReader(b), LoadOptions{})
		check(how+" stream", list, err, s)
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		s = newStore(t)
		list, err = s.Load(t.Context(), file, LoadOptions{})
		check(how+" file", list, err, s)
		if left := blobsOf(t, s, "ingest"); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
	dir := filepath.Join(t.TempDir(), "layout")
	if err := from.SaveLayout(t.Context(), refs, dir); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	list, err := s.Load(t.Context(), dir, LoadOptions{})
	check("folder", list, err, s)
	if err := from.SaveLayout(t.Context(), refs, dir); err == nil {
		t.Error("saved over a folder that is not empty")
	}
	if err := from.SaveFile(t.Context(), []string{"none"}, filepath.Join(dir, "x.tar"), nil); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("save of an unknown image: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x.tar")); err == nil {
		t.Error("a save that failed left its file")
	}
}

// What docker save wrote before it wrote OCI layouts.
func TestLoadDockerArchive(t *testing.T) {
	tag, err := name.NewTag("acme/shop:1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := name.NewTag("other:2")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	wasi, linux := platformImage(t, "wasi", "wasm", nil), platformImage(t, "linux", "amd64", nil)
	if err := tarball.MultiWriteToFile(file, map[name.Tag]v1.Image{tag: wasi, other: linux}); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	list, err := s.Load(t.Context(), file, LoadOptions{})
	if err != nil || len(list) != 1 || list[0].Name != "acme/shop:1" {
		t.Fatalf("%+v, %v", list, err)
	}
	if got := rootOf(t, s, "acme/shop:1"); got != "app.wasm="+module+"\n" {
		t.Errorf("got %s", got)
	}
	if err := tarball.WriteToFile(file, other, linux); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), file, LoadOptions{}); !errors.Is(err, ErrNotWasm) || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("an ordinary image: %v", err)
	}
}

func TestLoadHostile(t *testing.T) {
	from := newStore(t)
	b := build(t, from, smallContext(t), "shop:1")
	var good bytes.Buffer
	if err := from.Save(t.Context(), []string{"shop:1"}, &good, nil); err != nil {
		t.Fatal(err)
	}
	blob := "blobs/sha256/" + b.Digest[7:]
	replace := func(name, content string) []byte {
		var headers []tar.Header
		r := tar.NewReader(bytes.NewReader(good.Bytes()))
		for h, err := r.Next(); err == nil; h, err = r.Next() {
			var c bytes.Buffer
			c.ReadFrom(r)
			if strings.HasPrefix(h.Name, name) {
				if content == "" {
					continue
				}
				c.Reset()
				c.WriteString(content)
			}
			headers = append(headers, file(h.Name, c.String()))
		}
		return tarOf(t, headers...)
	}
	huge := `{"schemaVersion":2,"manifests":[` + strings.Repeat(`{"mediaType":"x","size":1,"digest":"sha256:`+strings.Repeat("a", 64)+`"},`, 50_000)
	for name, c := range map[string]struct {
		archive []byte
		want    error
	}{
		"nothing":               {nil, ErrDamaged},
		"text":                  {[]byte(strings.Repeat("no archive ", 100)), ErrDamaged},
		"no index":              {tarOf(t, file("a", "b")), ErrDamaged},
		"an empty index":        {replace("index.json", `{"schemaVersion":2,"manifests":[]}`), ErrDamaged},
		"a damaged index":       {replace("index.json", `{"schemaVersion":2,`), ErrDamaged},
		"a huge index":          {replace("index.json", huge), ErrTooLarge},
		"a missing manifest":    {replace(blob, ""), ErrDamaged},
		"another manifest":      {replace(blob, "{}"), ErrDamaged},
		"other blobs":           {replace("blobs/", "x"), ErrDamaged},
		"cut":                   {good.Bytes()[:good.Len()/2], ErrDamaged},
		"a digest with a path":  {replace("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:../../../etc/passwd"}]}`), ErrDamaged},
		"docker, missing files": {tarOf(t, file("manifest.json", `[{"Config":"../../etc/passwd","Layers":["/etc/passwd"]}]`)), ErrDamaged},
		"docker, damaged":       {tarOf(t, file("manifest.json", `[{]`)), ErrDamaged},
	} {
		s := newStore(t)
		list, err := s.LoadFrom(t.Context(), bytes.NewReader(c.archive), LoadOptions{})
		if !errors.Is(err, c.want) || len(list) > 0 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	// A folder whose files are links to elsewhere.
	dir := writeFiles(t, "index.json", "-> /etc/passwd")
	if _, err := newStore(t).Load(t.Context(), dir, LoadOptions{}); err == nil || strings.Contains(err.Error(), "root:") {
		t.Errorf("got %v", err)
	}
}

// skopeo returns the path of skopeo, which it installs if need be.
func skopeo(t testing.TB) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("../scripts/skopeo.sh")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("find or install skopeo: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// Others read what we write, and we what they write.
func TestSkopeo(t *testing.T) {
	tool := skopeo(t)
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(tool, append([]string{"--policy", policy}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("skopeo %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	host := newRegistry(t)
	s := newStore(t)
	built := build(t, s, smallContext(t), host+"/shop:1")
	tmp := t.TempDir()

	layout := filepath.Join(tmp, "layout")
	if err := s.SaveLayout(t.Context(), []string{host + "/shop:1"}, layout); err != nil {
		t.Fatal(err)
	}
	if out := run("inspect", "oci:"+layout); !strings.Contains(out, built.Digest) || !strings.Contains(out, `"Architecture": "wasm"`) || !strings.Contains(out, "MODE=production") {
		t.Errorf("inspect of the layout: %s", out)
	}
	archive := filepath.Join(tmp, "shop.tar")
	if err := s.SaveFile(t.Context(), []string{host + "/shop:1"}, archive, nil); err != nil {
		t.Fatal(err)
	}
	run("inspect", "docker-archive:"+archive)
	if os.Getuid() == 0 { // skopeo gives the files that it unpacks to their owner
		run("copy", "--preserve-digests", "oci-archive:"+archive, "dir:"+filepath.Join(tmp, "dir"))
	}

	// From our registry to another, and back by us.
	if _, err := s.Push(t.Context(), host+"/shop:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	run("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", "docker://"+host+"/shop:1", "docker://"+host+"/copied:2")
	to := newStore(t)
	p, err := to.Pull(t.Context(), host+"/copied:2", PullOptions{})
	if err != nil || p.Digest != built.Digest {
		t.Errorf("pulled %+v, %v", p, err)
	}
	// skopeo's own archives, of both kinds.
	for _, kind := range []string{"oci-archive", "docker-archive"} {
		file := filepath.Join(tmp, kind+".tar")
		run("copy", "oci:"+layout, kind+":"+file+":shop:9")
		to := newStore(t)
		list, err := to.Load(t.Context(), file, LoadOptions{})
		if err != nil || len(list) != 1 || list[0].Name != "shop:9" {
			t.Errorf("%s: %+v, %v", kind, list, err)
			continue
		}
		if got := rootOf(t, to, "shop:9"); !strings.Contains(got, "index.html=hello") {
			t.Errorf("%s: %s", kind, got)
		}
	}
	// An artifact.
	art, err := s.Build(t.Context(), BuildOptions{Dir: writeFiles(t, "Hakofile.toml", `module = "app.wasm"`, "app.wasm", module), Name: host + "/mod:1", Artifact: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), host+"/mod:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if out := run("inspect", "--raw", "--tls-verify=false", "docker://"+host+"/mod@"+art.Digest); !strings.Contains(out, "application/wasm") {
		t.Errorf("inspect of the artifact: %s", out)
	}
}
