package image

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// buildOf builds a Dockerfile over the files and returns the image.
func buildOf(t testing.TB, s *Store, o BuildOptions, dockerfile string, files ...string) (*Image, Built, error) {
	t.Helper()
	o.Dir = writeFiles(t, append([]string{"Dockerfile", dockerfile}, files...)...)
	if o.Name == "" {
		o.Name = "x"
	}
	b, err := s.Build(t.Context(), o)
	if err != nil {
		return nil, b, err
	}
	img, err := s.Open(t.Context(), o.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img, b, nil
}

func TestCopy(t *testing.T) {
	files := []string{"a.txt", "A", "b.txt", "B", "dir/c.txt", "C", "dir/sub/d.txt", "D", "empty/", "", "link", "-> a.txt", "dirlink", "-> dir", "dir/inner", "-> c.txt", "out", "-> ../../outside", "s p.txt", "S"}
	for dockerfile, want := range map[string]string{
		"COPY a.txt /":                                      "a.txt=A\n",
		"COPY a.txt /x":                                     "x=A\n",
		"COPY a.txt /x/":                                    "x/\nx/a.txt=A\n",
		"COPY a.txt x":                                      "x=A\n",
		"COPY a.txt .":                                      "a.txt=A\n",
		"COPY /a.txt ./":                                    "a.txt=A\n",
		"COPY ./a.txt b.txt /x/":                            "x/\nx/a.txt=A\nx/b.txt=B\n",
		"COPY *.txt /x/":                                    "x/\nx/a.txt=A\nx/b.txt=B\nx/s p.txt=S\n",
		"COPY ?.txt /x/":                                    "x/\nx/a.txt=A\nx/b.txt=B\n",
		"COPY [b-z].txt /x":                                 "x=B\n",
		"COPY dir/*.txt /x/":                                "x/\nx/c.txt=C\n",
		"COPY dir /x":                                       "x/\nx/c.txt=C\nx/inner -> c.txt\nx/sub/\nx/sub/d.txt=D\n",
		"COPY dir/ /":                                       "c.txt=C\ninner -> c.txt\nsub/\nsub/d.txt=D\n",
		"COPY dir/sub empty /x/":                            "x/\nx/d.txt=D\n",
		"COPY empty /x":                                     "x/\n",
		"COPY link /x":                                      "x=A\n",
		"COPY link /x/":                                     "x/\nx/link=A\n",
		"COPY dirlink /x":                                   "x/\nx/c.txt=C\nx/inner -> c.txt\nx/sub/\nx/sub/d.txt=D\n",
		"COPY dirlink/sub/d.txt /x":                         "x=D\n",
		`COPY ["s p.txt", "/x y"]`:                          "x y=S\n",
		`COPY "a.txt" '/x'`:                                 "x=A\n",
		"COPY a.txt /x\nCOPY b.txt /x":                      "x=B\n",
		"COPY dir /x\nCOPY a.txt /x":                        "x/\nx/a.txt=A\nx/c.txt=C\nx/inner -> c.txt\nx/sub/\nx/sub/d.txt=D\n",
		"COPY dir /x\nCOPY a.txt /x/inner":                  "x/\nx/c.txt=A\nx/inner -> c.txt\nx/sub/\nx/sub/d.txt=D\n",
		"WORKDIR /w/v\nCOPY a.txt .":                        "w/\nw/v/\nw/v/a.txt=A\n",
		"WORKDIR /w\nWORKDIR v\nCOPY a.txt y":               "w/\nw/v/\nw/v/y=A\n",
		"WORKDIR /w\nCOPY dir/sub .":                        "w/\nw/d.txt=D\n",
		"ARG N=b\nCOPY $N.txt /${N:-x}${M:-y}z":             "byz=B\n",
		"ADD a.txt /":                                       "a.txt=A\n",
		"COPY --chown=1:2 --link --chmod=755 a.txt /":       "a.txt=A\n",
		"COPY <<EOF /x\nhello $USER ${N:-n}\n  two\nEOF":    "x=hello  n\n  two\n\n",
		"COPY <<'EOF' a.txt /x/\n$HOME\nEOF":                "x/\nx/EOF=$HOME\n\nx/a.txt=A\n",
		"COPY <<-EOF <<B.txt /x/\n\t1\n\tEOF\n2\nB.txt":     "x/\nx/B.txt=2\n\nx/EOF=1\n\n",
		"COPY a.txt \\\n  # a comment\n\n  b.txt \\\n  /x/": "x/\nx/a.txt=A\nx/b.txt=B\n",
		"FROM scratch AS one\nCOPY a.txt /a\nFROM one\nCOPY b.txt /":                 "a=A\nb.txt=B\n",
		"FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/sub /":   "d.txt=D\n",
		"COPY a.txt /q\nFROM scratch\nCOPY --from=0 q /":                             "q=A\n",
		"FROM scratch AS One\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/inner /": "inner=C\n",
	} {
		s := newStore(t)
		_, _, err := buildOf(t, s, BuildOptions{}, "FROM scratch\n"+dockerfile+"\n", files...)
		if err != nil {
			t.Errorf("%s: %v", dockerfile, err)
			continue
		}
		if got := rootOf(t, s, "x"); got != want {
			t.Errorf("%s gives\n%swant\n%s", dockerfile, got, want)
		}
	}
}

func TestDockerfileErrors(t *testing.T) {
	files := []string{"a.txt", "A", "b.txt", "B", "dir/c.txt", "C", "out", "-> ../../etc/passwd", "evil", "-> /etc", "t.tgz", "\x1f\x8b", ".dockerignore", "secret", "secret", "S"}
	for dockerfile, want := range map[string]string{
		"":                                    "no FROM",
		"# only a comment":                    "no FROM",
		"COPY a.txt /":                        "1: COPY comes before the first FROM",
		"FROM":                                "1: FROM needs an argument",
		"FROM scratch AS":                     "1: FROM: write FROM IMAGE",
		"FROM scratch x y":                    "1: FROM: write FROM IMAGE",
		"FROM nothing:1":                      `1: FROM: unknown image "nothing:1"`,
		"FROM $X":                             "1: FROM: $X is empty",
		"FROM --platform=linux/amd64 scratch": "1: FROM: the platform linux/amd64",
		"FROM scratch\n\nRUN make":            "3: RUN: there is no Linux",
		"FROM scratch\nUSER 1":                "2: USER: a Wasm guest has no user",
		"FROM scratch\nCOYP a /":              "2: unknown instruction COYP: did you mean COPY?",
		"FROM scratch\nXYZZYQ a":              "2: unknown instruction XYZZYQ: FROM, COPY",
		"FROM scratch\nENTRYPOINT /app.wasm serve":                                  `2: ENTRYPOINT: the shell form needs a shell, which a Wasm image does not have: write ENTRYPOINT ["/app.wasm", "serve"]`,
		"FROM scratch\nCMD ['a']":                                                   "2: CMD: ['a'] is not JSON",
		"FROM scratch\nCOPY a.txt":                                                  "2: COPY: write COPY SOURCE... DESTINATION",
		"FROM scratch\nCOPY c.txt /":                                                "2: COPY: c.txt is not in the build context: did you mean a.txt?",
		"FROM scratch\nCOPY entirely-other /":                                       "2: COPY: entirely-other is not in the build context",
		"FROM scratch\nCOPY secret /":                                               "2: COPY: secret is not in the build context",
		"FROM scratch\nCOPY *.x /":                                                  "2: COPY: nothing in the build context matches *.x",
		"FROM scratch\nCOPY [ /":                                                    "2: COPY: the pattern",
		"FROM scratch\nCOPY ../a.txt /":                                             "2: COPY: ../a.txt is outside of the build context",
		"FROM scratch\nCOPY out /":                                                  "2: COPY: out: a symbolic link leads out",
		"FROM scratch\nCOPY evil/passwd /":                                          "2: COPY: evil/passwd is not in the build context",
		"FROM scratch\nCOPY a.txt b.txt /x":                                         "2: COPY: the destination of several sources is a folder: write /x/",
		"FROM scratch\nCOPY *.txt /x":                                               "2: COPY: 2 files are to be copied to /x",
		"FROM scratch\nCOPY a.txt /x\nCOPY dir /x":                                  "3: COPY: /x cannot be a folder",
		"FROM scratch\nCOPY a.txt /x\nCOPY a.txt /x/y":                              "3: COPY: /x cannot be a folder",
		"FROM scratch\nCOPY dir /x/a.txt\nCOPY dir/c.txt /y/a.txt/\nCOPY a.txt /y/": "4: COPY: /y/a.txt cannot be a file",
		"FROM scratch\nCOPY --from=no a.txt /":                                      "2: COPY: --from=no is neither a stage",
		"FROM scratch AS x\nCOPY --from=x a.txt /":                                  "2: COPY: the stage x cannot copy from itself",
		"FROM scratch\nCOPY --exclude=x a.txt /":                                    "2: COPY: the flag --exclude is not supported",
		"FROM scratch\nCOPY --chmod=u+x a.txt /":                                    "2: COPY: --chmod=u+x is not supported",
		"FROM scratch\nADD https://example.com/x /":                                 "2: ADD: https://example.com/x would be fetched",
		"FROM scratch\nADD t.tgz /":                                                 "2: ADD: t.tgz is an archive",
		"FROM scratch\nENV":                                                         "2: ENV needs an argument",
		"FROM scratch\nENV a":                                                       "2: ENV: a has no value",
		"FROM scratch\nENV a=1 b":                                                   "2: ENV: b is no NAME=value",
		"FROM scratch\nENV a=\"1":                                                   "2: ENV: the quote in a=\"1 has no end",
		"FROM scratch\nENV a=${b":                                                   "2: ENV: a closing '}' is missing",
		"FROM scratch\nENV a=${b#c}":                                                "2: ENV: ${b#...} is not supported",
		"FROM scratch\nENV a=\"${b:?must be set}\"":                                 "2: ENV: b: must be set",
		"FROM scratch\nEXPOSE http":                                                 `2: EXPOSE: "http" is no port`,
		"FROM scratch\nEXPOSE 70000":                                                `2: EXPOSE: "70000" is no port`,
		"FROM scratch\nLABEL =x":                                                    "2: LABEL: =x has no name",
		"FROM scratch\nARG 1x-=2":                                                   "2: ARG: ",
		"FROM scratch\nCOPY <<EOF /x\nno end":                                       "2: the text of <<EOF has no end",
		"FROM scratch AS a\nFROM scratch AS A":                                      "2: FROM: there are two stages A",
		"# escape=x\nFROM scratch":                                                  "1: the escape character is",
		"FROM scratch\nONBUILD COPY a /":                                            "2: ONBUILD",
	} {
		_, _, err := buildOf(t, newStore(t), BuildOptions{}, dockerfile, files...)
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), "Dockerfile:") || !strings.Contains(strings.TrimPrefix(err.Error(), filepath.Dir(fe.File)), want) {
			t.Errorf("%q: %v\nlacks %q", dockerfile, err, want)
		}
	}
}

func TestDockerfileSettings(t *testing.T) {
	s := newStore(t)
	img, built, err := buildOf(t, s, BuildOptions{Args: map[string]string{"V": "given", "EMPTY": "", "UNUSED": "1"}}, `# escape=\
ARG BASE=scratch
FROM --platform=$TARGETPLATFORM ${BASE} AS first
ARG V=default
ARG W=${V}-w
ARG EMPTY=full
ARG BASE
ARG TARGETARCH
ENV A=1 B="two words" C=three\ words D='$A' E=$A$V F=${EMPTY:-other} G=${EMPTY-other} H=${A:+set} I=${NO:+set} J=$BASE K=${NO:-${A}x} L=$TARGETARCH M="\$A"
ENV OLD the  old form $A
ENV A=2 N=$A
LABEL one=1 "two"="2 2"
LABEL three=$W
EXPOSE 80 443/tcp 53/UDP
WORKDIR /srv
WORKDIR sub
COPY app.wasm /bin/app.wasm
ENTRYPOINT ["/bin/app.wasm", "$A"]
CMD ["x y"]
`, "app.wasm", module)
	if err != nil {
		t.Fatal(err)
	}
	c := img.Config
	wantEnv := []string{"A=2", "B=two words", "C=three words", "D=$A", "E=given", "F=other", "G=", "H=", "I=", "J=scratch", "K=x", "L=wasm", "M=$A", "OLD=the  old form 1", "N=1"}
	if !slices.Equal(c.Env, wantEnv) {
		t.Errorf("env\n%q\nnot\n%q", c.Env, wantEnv)
	}
	if want := map[string]string{"one": "1", "two": "2 2", "three": "given-w"}; !maps.Equal(c.Labels, want) {
		t.Errorf("labels %q", c.Labels)
	}
	if !slices.Equal(c.ExposedPorts, []string{"443/tcp", "53/udp", "80/tcp"}) || c.WorkingDir != "/srv/sub" {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(img.Command(), []string{"/bin/app.wasm", "$A", "x y"}) {
		t.Errorf("command %q", img.Command())
	}
	if len(built.Warnings) != 1 || !strings.Contains(built.Warnings[0], "UNUSED") {
		t.Errorf("warnings %q", built.Warnings)
	}
	// An image on top: what it says, and what it takes over.
	on, _, err := buildOf(t, s, BuildOptions{Name: "on"}, "FROM x\nENV B=3\nENTRYPOINT [\"/bin/app.wasm\"]\nCOPY more /srv/sub/\n", "more", "m")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(on.Config.Env, "B=3") || !slices.Contains(on.Config.Env, "A=2") || on.Config.Cmd != nil || on.Config.WorkingDir != "/srv/sub" {
		t.Errorf("%+v", on.Config)
	}
	if len(on.Layers()) != len(img.Layers())+1 || on.Layers()[0] != img.Layers()[0] {
		t.Errorf("the layers are not those of the base and one more")
	}
	if got := rootOf(t, s, "on"); got != "bin/\nbin/app.wasm="+module+"\nsrv/\nsrv/sub/\nsrv/sub/more=m\n" {
		t.Errorf("root\n%s", got)
	}
	// The base is fetched if the options say how.
	pulled := ""
	_, _, err = buildOf(t, s, BuildOptions{Pull: func(_ context.Context, ref string) error { pulled = ref; return errors.New("no network") }}, "FROM other:1")
	if pulled != "other:1" || err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("pulled %q: %v", pulled, err)
	}
}

func TestEscapeBacktick(t *testing.T) {
	s := newStore(t)
	img, _, err := buildOf(t, s, BuildOptions{}, "# escape=`\r\n# syntax=docker/dockerfile:1\r\nFROM scratch\r\nENV A=c:\\x `\r\n  B=`$A\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(img.Config.Env, []string{`A=c:\x`, "B=$A"}) {
		t.Errorf("env %q", img.Config.Env)
	}
}

func TestTarget(t *testing.T) {
	s := newStore(t)
	file := "FROM scratch AS one\nCOPY a /\nFROM scratch AS two\nCOPY none /\n"
	if _, _, err := buildOf(t, s, BuildOptions{Target: "One"}, file, "a", "A"); err != nil {
		t.Error(err)
	}
	if _, _, err := buildOf(t, s, BuildOptions{Target: "three"}, "FROM scratch AS one\nFROM one AS two", "a", "A"); !errors.Is(err, ErrBuildFile) || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("got %v", err)
	}
}

func TestDockerignore(t *testing.T) {
	files := []string{"a", "1", "node_modules/x/y", "2", "src/keep.go", "3", "src/drop.log", "4", "deep/er/drop.log", "5", "build/out/app.wasm", "6", "build/tmp", "7"}
	for ignore, want := range map[string]string{
		"":                       "a=1\nbuild/\nbuild/out/\nbuild/out/app.wasm=6\nbuild/tmp=7\ndeep/\ndeep/er/\ndeep/er/drop.log=5\nnode_modules/\nnode_modules/x/\nnode_modules/x/y=2\nsrc/\nsrc/drop.log=4\nsrc/keep.go=3\n",
		"node_modules\n**/*.log": "a=1\nbuild/\nbuild/out/\nbuild/out/app.wasm=6\nbuild/tmp=7\ndeep/\ndeep/er/\nsrc/\nsrc/keep.go=3\n",
		"*\n!src":                "src/\nsrc/drop.log=4\nsrc/keep.go=3\n",
		"# comment\nbuild\n!build/out\nsrc\ndeep\nnode_modules": "a=1\nbuild/\nbuild/out/\nbuild/out/app.wasm=6\n",
	} {
		s := newStore(t)
		if _, _, err := buildOf(t, s, BuildOptions{}, "FROM scratch\nCOPY . /\n", append(files, ".dockerignore", ignore+"\nDockerfile\n.dockerignore")...); err != nil {
			t.Error(err)
			continue
		}
		if got := rootOf(t, s, "x"); got != want {
			t.Errorf("%q leaves\n%swant\n%s", ignore, got, want)
		}
	}
	// The build file's own comes first.
	s := newStore(t)
	if _, _, err := buildOf(t, s, BuildOptions{}, "FROM scratch\nCOPY . /\n", ".dockerignore", "*", "Dockerfile.dockerignore", "*\n!a", "a", "1"); err != nil {
		t.Fatal(err)
	}
	if got := rootOf(t, s, "x"); got != "a=1\n" {
		t.Errorf("got\n%s", got)
	}
}

// The same input gives the same digest, wherever and whenever.
func TestReproducible(t *testing.T) {
	files := []string{"app.wasm", module, "public/b", "B", "public/a", "A", "public/l", "-> a",
		"Dockerfile", "FROM scratch\nCOPY app.wasm /\nCOPY public /srv\nENV A=1\nLABEL z=1 a=2 m=3\nEXPOSE 80 81 82\nENTRYPOINT [\"/app.wasm\"]\n",
		"Hakofile.toml", smallHakofile + "[labels]\nz = \"1\"\na = \"2\"\n[annotations]\nx = \"1\"\nb = \"2\"\n"}
	at := time.Unix(1_700_000_000, 0)
	for _, file := range []string{"Dockerfile", "Hakofile.toml"} {
		digests := map[string]bool{}
		for i := range 4 {
			dir := writeFiles(t, files...)
			if i > 0 { // other modes, times and order on the disk
				old := time.Unix(int64(1000*i), 0)
				for _, name := range []string{"public/a", "public/b", "app.wasm"} {
					p := filepath.Join(dir, name)
					b, _ := os.ReadFile(p)
					os.Remove(p)
					if err := os.WriteFile(p, b, 0o600|os.FileMode(i)); err != nil {
						t.Fatal(err)
					}
					os.Chtimes(p, old, old)
				}
				os.Chmod(filepath.Join(dir, "public"), 0o700)
			}
			b, err := newStore(t).Build(t.Context(), BuildOptions{Dir: dir, File: filepath.Join(dir, file), Name: "x", Epoch: at})
			if err != nil {
				t.Fatal(err)
			}
			digests[b.Digest] = true
		}
		if len(digests) != 1 {
			t.Errorf("%s gives %v", file, digests)
		}
	}
	b, err := newStore(t).Build(t.Context(), BuildOptions{Dir: writeFiles(t, files...)})
	if err != nil {
		t.Fatal(err)
	}
	// It changes only when formats or compression do: on purpose.
	if want := "sha256:8c62d0fbbb08dc065178103c93a7a45dee9248db8aa6b8971ea2f91a3465989f"; b.Digest != want {
		t.Errorf("the digest is %s, and was %s", b.Digest, want)
	}
}

func FuzzDockerfile(f *testing.F) {
	for _, text := range []string{"FROM scratch\nCOPY a.txt /\n", "# escape=`\nFROM scratch AS x\nENV a=\"b\" c=${d:-e}\nCOPY <<EOF /x\n$a\nEOF\n",
		"ARG A=scratch\nFROM $A\nCOPY --from=0 [\"a\", \"b\"]\n", "FROM scratch\nLABEL a=b\\\n # c\n d=e\nEXPOSE 80/udp 1\nWORKDIR x\nWORKDIR ../y\n", "FROM scratch\nCOPY dir/* l /x/\nCMD [\"a\"]"} {
		f.Add(text)
	}
	dir := writeFiles(f, "a.txt", "A", "dir/c", "C", "l", "-> ../../../etc/passwd", "m", "-> dir")
	f.Fuzz(func(t *testing.T, text string) {
		s := newStore(t)
		if parsed, err := parseDockerfile(text); err == nil {
			for _, in := range parsed.instructions {
				if in.line < 1 || in.line > strings.Count(text, "\n")+1 {
					t.Errorf("line %d of %q", in.line, text)
				}
			}
		}
		file := filepath.Join(t.TempDir(), "Dockerfile")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := s.Build(t.Context(), BuildOptions{Dir: dir, File: file, Name: "x"})
		if err != nil {
			return
		}
		img, err := s.Open(t.Context(), "x")
		if err != nil || img.Digest != b.Digest {
			t.Fatalf("%q builds what cannot be opened: %v", text, err)
		}
		defer img.Close()
		root, err := img.Root(t.Context())
		if err != nil {
			t.Fatalf("%q builds what cannot be unpacked: %v", text, err)
		}
		if strings.Contains(listFiles(t, root), "root:") {
			t.Errorf("%q took a file of the host", text)
		}
	})
}
