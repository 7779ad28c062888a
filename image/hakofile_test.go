package image

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHakofile(t *testing.T) {
	s := newStore(t)
	dir := writeFiles(t, "Hakofile.toml", `# an app
module = "build/app.wasm"
args = ["serve", "--fast"]
workdir = "/srv/data/"
expose = ["8080", "53/udp"]

[env]
B = "2"
A = "1"

[labels]
l = "x"

[annotations]
"org.example.a" = "y"

[[files]]
from = "public"
to = "/srv"
[[files]]
from = "*.conf"
to = "/etc/"
[[files]]
from = "one"
to = "/two"
`, "build/app.wasm", module, "public/i", "I", "a.conf", "A", "b.conf", "B", "one", "1")
	build(t, s, dir, "x")
	img, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	c := img.Config
	if !slices.Equal(c.Entrypoint, []string{"/app.wasm"}) || !slices.Equal(c.Cmd, []string{"serve", "--fast"}) || c.WorkingDir != "/srv/data" ||
		!slices.Equal(c.Env, []string{"A=1", "B=2"}) || !slices.Equal(c.ExposedPorts, []string{"53/udp", "8080/tcp"}) ||
		c.Labels["l"] != "x" || img.Annotations["org.example.a"] != "y" {
		t.Errorf("%+v", img)
	}
	want := "app.wasm=" + module + "\netc/\netc/a.conf=A\netc/b.conf=B\nsrv/\nsrv/data/\nsrv/i=I\ntwo=1\n"
	if got := rootOf(t, s, "x"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// Another place for the module.
	dir = writeFiles(t, "Hakofile.toml", "module = \"app.wasm\"\nentrypoint = [\"/bin/a.wasm\", \"-x\"]\nfiles = [{ from = \"app.wasm\", to = \"/bin/a.wasm\" }]", "app.wasm", module)
	build(t, s, dir, "y")
	if other, err := s.Open(t.Context(), "y"); err != nil {
		t.Error(err)
	} else {
		if _, err := other.Module(t.Context()); err != nil || !slices.Equal(other.Command("q"), []string{"/bin/a.wasm", "-x", "q"}) {
			t.Errorf("%q, %v", other.Command("q"), err)
		}
		other.Close()
	}
}

func TestHakofileErrors(t *testing.T) {
	const ok = "module = \"app.wasm\"\n"
	for text, want := range map[string]string{
		"":                                 "Hakofile.toml: module is missing",
		"modul = \"app.wasm\"":             "Hakofile.toml:1: unknown key modul: did you mean module?",
		ok + "\nenvs = {}":                 "Hakofile.toml:3: unknown key envs: did you mean env?",
		ok + "zzzzzz = 1":                  "Hakofile.toml:2: unknown key zzzzzz: there are module, entrypoint",
		ok + "[[files]]\nfrm = \"x\"":      "Hakofile.toml:3: unknown key files.frm: did you mean from?",
		ok + "args = \"serve\"":            "Hakofile.toml:2: ",
		ok + "args = [":                    "Hakofile.toml:2: ",
		ok + "workdir = \"srv\"":           `Hakofile.toml:2: workdir: "srv" is not absolute: write "/srv"`,
		ok + "expose = [\"http\"]":         `Hakofile.toml:2: expose: "http" is no port`,
		ok + "env = { \"A=B\" = \"1\" }":   `Hakofile.toml:2: env: "A=B" cannot be a variable`,
		"module = \"ap.wasm\"":             "Hakofile.toml:1: module: ap.wasm is not in the build context: did you mean app.wasm?",
		"module = \"dir\"":                 "Hakofile.toml:1: module: dir is not a file",
		"module = \"text\"":                "Hakofile.toml:1: module: text is not a Wasm module",
		"module = \"component.wasm\"":      "Hakofile.toml:1: module: component.wasm is a Wasm component",
		"module = \"../app.wasm\"":         "Hakofile.toml:1: module: ../app.wasm is outside",
		ok + "entrypoint = [\"/no.wasm\"]": "Hakofile.toml:2: entrypoint: the entrypoint /no.wasm is not a file",
		ok + "files = [\n{ from = \"text\", to = \"/t\" },\n{ from = \"nope\", to = \"/n\" }]": "Hakofile.toml:4: files.1: nope is not in",
		ok + "[[files]]\nfrom = \"text\"\nto = \"/t\"\n[[files]]\nfrom = \"text\"\nto = \"t\"": `Hakofile.toml:5: files.1: the destination "t" is not absolute`,
		ok + "files = [{ from = \"text\" }]":                                                   "Hakofile.toml:2: files.0: write { from",
		ok + "module = \"twice\"":                                                              "Hakofile.toml:2: ",
	} {
		dir := writeFiles(t, "Hakofile.toml", text, "app.wasm", module, "dir/x", "", "text", "text, not Wasm", "component.wasm", "\x00asm\x0d\x00\x01\x00")
		_, err := newStore(t).Build(t.Context(), BuildOptions{Dir: dir, Name: "x"})
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), string(filepath.Separator)+want) {
			t.Errorf("%q: %v\nlacks %q", text, err, want)
		}
	}
	dir := writeFiles(t, "Hakofile.toml", ok, "app.wasm", module)
	for name, o := range map[string]BuildOptions{
		"build arguments": {Dir: dir, Args: map[string]string{"A": "1"}},
		"stages":          {Dir: dir, Target: "x"},
		"platform":        {Dir: dir, Platform: "linux/amd64"},
		"neither":         {Dir: t.TempDir()},
		"build context":   {Dir: filepath.Join(dir, "none")},
		"not a folder":    {Dir: filepath.Join(dir, "app.wasm")},
		"build file":      {Dir: dir, File: filepath.Join(dir, "none")},
	} {
		if _, err := newStore(t).Build(t.Context(), o); !errors.Is(err, ErrBuildFile) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"UPPER", "x@sha256:" + strings.Repeat("a", 64)} {
		if _, err := newStore(t).Build(t.Context(), BuildOptions{Dir: dir, Name: name}); !errors.Is(err, ErrReference) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArtifactBuild(t *testing.T) {
	s := newStore(t)
	dir := writeFiles(t, "Hakofile.toml", "module = \"app.wasm\"\nannotations = { a = \"b\" }", "app.wasm", module)
	b, err := s.Build(t.Context(), BuildOptions{Dir: dir, Name: "x", Artifact: true})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	wasm, err := img.Module(t.Context())
	if err != nil || string(wasm) != module || !img.Artifact || img.Annotations["a"] != "b" || img.Platform != "wasip1/wasm" {
		t.Errorf("%+v, %q, %v", img, wasm, err)
	}
	l := img.Layers()
	if len(l) != 1 || l[0].MediaType != "application/wasm" || img.manifest.Config.MediaType != "application/vnd.wasm.config.v0+json" || b.Layers != 1 {
		t.Errorf("layers %+v", l)
	}
	for _, more := range []string{"args = [\"x\"]", "env = { A = \"1\" }", "expose = [\"80\"]", "labels = { a = \"b\" }", "files = [{ from = \"app.wasm\", to = \"/other\" }, { from = \"Hakofile.toml\", to = \"/h\" }]"} {
		dir := writeFiles(t, "Hakofile.toml", "module = \"app.wasm\"\n"+more, "app.wasm", module)
		if _, err := s.Build(t.Context(), BuildOptions{Dir: dir, Name: "y", Artifact: true}); !errors.Is(err, ErrBuildFile) || !strings.Contains(err.Error(), "cannot hold") {
			t.Errorf("%s: %v", more, err)
		}
	}
	// A stage may take the module of an artifact, but not begin with one.
	if _, _, err := buildOf(t, s, BuildOptions{Name: "on"}, "FROM scratch\nCOPY --from=x /module.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]"); err != nil {
		t.Error(err)
	}
	if got := rootOf(t, s, "on"); got != "app.wasm="+module+"\n" {
		t.Errorf("got %s", got)
	}
	if _, _, err := buildOf(t, s, BuildOptions{Name: "on"}, "FROM x"); !errors.Is(err, ErrNotWasm) {
		t.Errorf("FROM an artifact: %v", err)
	}
}

// What an image runs if it does not say so well.
func TestModules(t *testing.T) {
	s := newStore(t)
	for dockerfile, want := range map[string]string{
		"COPY app.wasm /plugin.wasm":                                            "",
		"COPY app.wasm /bin/x.wasm\nCMD [\"/bin/x.wasm\", \"a\"]":               "",
		"COPY app.wasm /bin/x.wasm\nWORKDIR /bin\nENTRYPOINT [\"x.wasm\"]":      "",
		"COPY app.wasm /bin/x\nENTRYPOINT [\"/bin/x\"]":                         "",
		"COPY l app.wasm /\nCOPY links /links\nENTRYPOINT [\"/links/to.wasm\"]": "",
		"COPY app.wasm /a.wasm\nCOPY app.wasm /b.wasm":                          "does not say what to run",
		"COPY text /x.wasm\nENTRYPOINT [\"/x.wasm\"]":                           "not a Wasm module",
		"COPY app.wasm /x.wasm\nENTRYPOINT [\"/y.wasm\"]":                       "does not have",
		"COPY app.wasm /x.wasm/y\nENTRYPOINT [\"/x.wasm\"]":                     "not a file",
		"COPY text /": "does not say what to run",
	} {
		img, _, err := buildOf(t, s, BuildOptions{}, "FROM scratch\n"+dockerfile, "app.wasm", module, "text", "text", "l", "-> app.wasm", "links/to.wasm", "-> /app.wasm")
		if err != nil {
			t.Fatal(err)
		}
		b, err := img.Module(t.Context())
		if want == "" && (err != nil || string(b) != module) || want != "" && (!errors.Is(err, ErrNoModule) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v", dockerfile, b, err)
		}
	}
}

func FuzzHakofile(f *testing.F) {
	for _, text := range []string{smallHakofile, "module = \"a\"\n[[files]]\nfrom = \"x\"\nto = \"/y\"\n", "module = 1\nx.y = [{a = 1}, 2]", "[env]\nA = \"\"\"\n\"\"\"\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, lines, err := parseHakofile(text)
		var fe *FileError
		if err != nil && !errors.As(err, &fe) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && h.Module != "" && lines["module"] == 0 {
			t.Errorf("%q: the line of module is unknown", text)
		}
		for key, line := range lines {
			if line < 1 || line > strings.Count(text, "\n")+1 {
				t.Errorf("%q: %s is on line %d", text, key, line)
			}
		}
	})
}
