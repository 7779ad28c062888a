package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestUnpack(t *testing.T) {
	wh := func(name string) tar.Header { return file(name, "") }
	for _, c := range []struct {
		name   string
		layers [][]tar.Header
		want   string
	}{
		{"plain", [][]tar.Header{{dir("a/"), file("a/b", "1"), file("./c", "2"), file("/d", "3")}}, "a/\na/b=1\nc=2\nd=3\n"},
		{"folders that no entry makes", [][]tar.Header{{file("a/b/c", "1")}}, "a/\na/b/\na/b/c=1\n"},
		{"a name twice", [][]tar.Header{{file("a", "1"), file("a", "2")}}, "a=2\n"},
		{"names that differ by case", [][]tar.Header{{file("a", "1"), file("A", "2")}}, "A=2\na=1\n"},
		{"a later layer wins", [][]tar.Header{{file("a", "1"), file("b", "1")}, {file("a", "2")}}, "a=2\nb=1\n"},
		{"a file becomes a folder", [][]tar.Header{{file("a", "1")}, {file("a/b", "2")}}, "a/\na/b=2\n"},
		{"a folder becomes a file", [][]tar.Header{{file("a/b", "1")}, {file("a", "2")}}, "a=2\n"},
		{"a folder again keeps what is in it", [][]tar.Header{{file("a/b", "1")}, {dir("a"), file("a/c", "2")}}, "a/\na/b=1\na/c=2\n"},
		{"whiteout", [][]tar.Header{{file("a/b", "1"), file("a/c/d", "1")}, {wh("a/.wh.c")}}, "a/\na/b=1\n"},
		{"whiteout of nothing", [][]tar.Header{{file("a", "1")}, {wh(".wh.b"), wh("x/.wh.y")}}, "a=1\n"},
		{"whiteout spares its own layer", [][]tar.Header{{file("a", "1")}, {file("a", "2"), wh(".wh.a")}}, "a=2\n"},
		{"whiteout before the new one", [][]tar.Header{{file("a/b", "1")}, {wh(".wh.a"), file("a/c", "2")}}, "a/\na/c=2\n"},
		{"opaque", [][]tar.Header{{file("a/b", "1"), file("a/c/d", "1"), file("e", "1")}, {file("a/n", "2"), wh("a/.wh..wh..opq"), file("a/c/m", "2")}}, "a/\na/c/\na/c/m=2\na/n=2\ne=1\n"},
		{"opaque root", [][]tar.Header{{file("a/b", "1")}, {wh(".wh..wh..opq"), file("c", "2")}}, "c=2\n"},
		{"AUFS's notes", [][]tar.Header{{wh(".wh..wh.plnk"), file("a", "1")}}, "a=1\n"},
		{"whiteout of a link spares its target", [][]tar.Header{{file("a/b", "1"), symlink("l", "a")}, {wh(".wh.l")}}, "a/\na/b=1\n"},
		{"whiteout through a link", [][]tar.Header{{file("a/b", "1"), file("a/c", "1"), symlink("l", "a")}, {wh("l/.wh.b")}}, "a/\na/c=1\nl -> a\n"},
		{"symlinks", [][]tar.Header{{file("usr/lib/x", "1"), symlink("lib", "usr/lib"), file("lib/y", "2")}}, "lib -> usr/lib\nusr/\nusr/lib/\nusr/lib/x=1\nusr/lib/y=2\n"},
		{"absolute symlinks become relative", [][]tar.Header{{symlink("a/b/l", "/etc/x"), symlink("m", "/etc"), symlink("r", "/")}, {file("m/x", "1")}}, "a/\na/b/\na/b/l -> ../../etc/x\netc/\netc/x=1\nm -> etc\nr -> .\n"},
		{"a file over a link does not follow it", [][]tar.Header{{file("a", "1"), symlink("l", "a")}, {file("l", "2")}}, "a=1\nl=2\n"},
		{"a folder over a link replaces it", [][]tar.Header{{file("a/b", "1"), symlink("l", "a")}, {dir("l")}}, "a/\na/b=1\nl/\n"},
		{"links that lead outside are text", [][]tar.Header{{symlink("l", "../../etc/passwd")}}, "l -> ../../etc/passwd\n"},
		{"hard links", [][]tar.Header{{file("a", "1"), hardlink("b", "a"), hardlink("c", "/a"), hardlink("a", "a")}}, "a=1\nb=1\nc=1\n"},
		{"a file over a hard link leaves the other", [][]tar.Header{{file("a", "1"), hardlink("b", "a")}, {file("b", "2")}}, "a=1\nb=2\n"},
		{"a hard link over a folder", [][]tar.Header{{file("a", "1"), file("d/e", "1")}, {hardlink("d", "a")}}, "a=1\nd=1\n"},
		{"a global header", [][]tar.Header{{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, file("a", "1")}}, "a=1\n"},
		{"the root itself", [][]tar.Header{{dir("./"), dir("/"), file("a", "1")}}, "a=1\n"},
		{"nothing", nil, ""},
	} {
		for kind, compress := range map[string]func(testing.TB, []byte) []byte{"plain": nil, "gzip": gzipped, "zstd": zstded} {
			if kind != "gzip" && c.name != "plain" {
				continue
			}
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				s := newStore(t)
				var layers [][]byte
				for _, l := range c.layers {
					layers = append(layers, tarOf(t, l...))
				}
				if _, err := tryAddImage(t, s, "x", compress, layers...); err != nil {
					t.Fatal(err)
				}
				if got := rootOf(t, s, "x"); got != c.want {
					t.Errorf("got\n%swant\n%s", got, c.want)
				}
			})
		}
	}
}

// hostile are layers that no image may have.
var hostile = []struct {
	name   string
	layers [][]tar.Header
	want   error
	says   string
}{
	{"..", [][]tar.Header{{file("../evil", "x")}}, ErrUnsafe, "leads out"},
	{".. inside", [][]tar.Header{{file("a/../../evil", "x")}}, ErrUnsafe, "leads out"},
	{"..  that stays inside", [][]tar.Header{{file("a/../b", "x")}}, ErrUnsafe, "leads out"},
	{"through a link up", [][]tar.Header{{symlink("l", ".."), file("l/evil", "x")}}, ErrUnsafe, "symbolic link leads out"},
	{"through a link far up", [][]tar.Header{{symlink("l", "../../../../../../tmp"), file("l/evil", "x")}}, ErrUnsafe, "symbolic link leads out"},
	{"through two links", [][]tar.Header{{dir("a"), symlink("a/l", ".."), symlink("m", "a/l/.."), file("m/evil", "x")}}, ErrUnsafe, "symbolic link leads out"},
	{"through a link of an earlier layer", [][]tar.Header{{symlink("l", "../..")}, {file("l/evil", "x")}}, ErrUnsafe, "symbolic link leads out"},
	{"links in a circle", [][]tar.Header{{symlink("a", "b"), symlink("b", "a"), file("a/x", "x")}}, ErrUnsafe, "40 symbolic links"},
	{"a folder through a link", [][]tar.Header{{symlink("l", "../.."), dir("l/evil")}}, ErrUnsafe, "symbolic link leads out"},
	{"a link through a link", [][]tar.Header{{symlink("l", "../.."), symlink("l/evil", "x")}}, ErrUnsafe, "symbolic link leads out"},
	{"a hard link outside", [][]tar.Header{{hardlink("l", "../../secret")}}, ErrUnsafe, "leads out"},
	{"a hard link through a link", [][]tar.Header{{symlink("s", "../.."), hardlink("l", "s/secret")}}, ErrUnsafe, "symbolic link leads out"},
	{"a hard link to a symbolic one", [][]tar.Header{{symlink("s", "../../secret"), hardlink("l", "s")}}, ErrUnsafe, "not a file"},
	{"a hard link to a folder", [][]tar.Header{{dir("d"), hardlink("l", "d")}}, ErrUnsafe, "not a file"},
	{"a hard link to nothing", [][]tar.Header{{hardlink("l", "no")}}, ErrDamaged, "not there"},
	{"whiteout of ..", [][]tar.Header{{file(".wh...", "")}}, ErrUnsafe, "names no file"},
	{"whiteout of .", [][]tar.Header{{file("a/.wh..", "")}}, ErrUnsafe, "names no file"},
	{"whiteout of no name", [][]tar.Header{{file("a/.wh.", "")}}, ErrUnsafe, "names no file"},
	{"whiteout through a link", [][]tar.Header{{symlink("l", "../..")}, {file("l/.wh.victim", "")}}, ErrUnsafe, "symbolic link leads out"},
	{"opaque through a link", [][]tar.Header{{symlink("l", "../..")}, {file("l/.wh..wh..opq", "")}}, ErrUnsafe, "symbolic link leads out"},
	{"a whiteout as a folder", [][]tar.Header{{file("a/.wh.b/c", "x")}}, ErrUnsafe, "whiteout in its middle"},
	{"a device", [][]tar.Header{{{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}}, ErrUnsafe, "device"},
	{"a disk", [][]tar.Header{{{Name: "d", Typeflag: tar.TypeBlock}}}, ErrUnsafe, "device"},
	{"a pipe", [][]tar.Header{{{Name: "d", Typeflag: tar.TypeFifo}}}, ErrUnsafe, "pipe"},
	{"an unknown type", [][]tar.Header{{{Name: "d", Typeflag: 'Z'}}}, ErrUnsafe, "unknown type"},
	{"a root that is a file", [][]tar.Header{{{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "/etc"}}}, ErrUnsafe, "root"},
	{"a long name", [][]tar.Header{{file(strings.Repeat("a/", 200)+strings.Repeat("b", 256), "x")}}, ErrTooLarge, "256 bytes"},
	{"a longer name", [][]tar.Header{{file(strings.Repeat("abcdefghi/", 500)+"x", "x")}}, ErrTooLarge, "5001 bytes"},
	{"deep folders", [][]tar.Header{{file(strings.Repeat("a/", 300)+"b", "x")}}, ErrTooLarge, "folders deep"},
	{"an empty link", [][]tar.Header{{symlink("l", "")}}, ErrUnsafe, "empty"},
}

func TestUnpackHostile(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			outside := writeOutside(t, s)
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, tarOf(t, l...))
			}
			img := addImage(t, s, "x", layers...)
			_, err := img.Root(t.Context())
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, not %v with %q", err, c.want, c.says)
			}
			outside()
			checkNothingUnpacked(t, s)
		})
	}
}

// writeOutside puts files around a store; what it returns checks that they are
// as they were.
func writeOutside(t testing.TB, s *Store) func() {
	t.Helper()
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	victims := []string{filepath.Join(s.dir, "..", "victim"), filepath.Join(s.dir, "victim"), filepath.Join(s.dir, "unpacked", "victim"), filepath.Join(s.dir, "..", "secret")}
	for _, v := range victims {
		if err := os.WriteFile(v, []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		for _, v := range victims {
			if b, err := os.ReadFile(v); err != nil || string(b) != "as it was" {
				t.Errorf("%s: %q, %v", v, b, err)
			}
			os.Remove(v)
		}
		for _, dir := range []string{s.dir, filepath.Dir(s.dir), s.path("unpacked")} {
			for _, evil := range []string{"evil", "x"} {
				if _, err := os.Lstat(filepath.Join(dir, evil)); err == nil {
					t.Errorf("%s was made in %s", evil, dir)
				}
			}
		}
	}
}

func checkNothingUnpacked(t testing.TB, s *Store) {
	t.Helper()
	list, err := os.ReadDir(s.path("unpacked"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".lock") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func TestUnpackLimits(t *testing.T) {
	var many []tar.Header
	for i := range 200 {
		many = append(many, dir("d"+strings.Repeat("x", i%50)))
	}
	for _, c := range []struct {
		name     string
		limits   Limits
		compress func(testing.TB, []byte) []byte
		layer    []byte
	}{
		{"a large file", Limits{Unpacked: 1 << 20}, nil, tarOf(t, file("a", strings.Repeat("x", 1<<20+1)))},
		{"a gzip bomb", Limits{Unpacked: 1 << 20}, gzipped, tarOf(t, file("a", strings.Repeat("\x00", 16<<20)))},
		{"a zstd bomb", Limits{Unpacked: 1 << 20}, zstded, tarOf(t, file("a", strings.Repeat("\x00", 16<<20)))},
		{"a bomb behind the archive's end", Limits{Unpacked: 1 << 20}, gzipped, append(tarOf(t, file("a", "x")), make([]byte, 16<<20)...)},
		{"many small files", Limits{Unpacked: 1 << 20}, gzipped, bytes.Repeat(tarOf(t, many...)[:200*512], 20)},
		{"many entries", Limits{Entries: 199}, gzipped, tarOf(t, many...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := OpenStore(filepath.Join(t.TempDir(), "images"), Options{Limits: c.limits})
			img, err := tryAddImage(t, s, "x", c.compress, c.layer)
			if err == nil {
				_, err = img.Root(t.Context())
			}
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v", err)
			}
			checkNothingUnpacked(t, s)
		})
	}
	s := OpenStore(filepath.Join(t.TempDir(), "images"), Options{Limits: Limits{Layers: 2}})
	one := tarOf(t, file("a", "1"))
	if _, err := tryAddImage(t, s, "x", nil, one, one, one); !errors.Is(err, ErrTooLarge) {
		t.Errorf("three layers: %v", err)
	}
}

// A sparse file is small in its layer and large on the disk.
func TestUnpackSparse(t *testing.T) {
	s := OpenStore(filepath.Join(t.TempDir(), "images"), Options{Limits: Limits{Unpacked: 1 << 20}})
	img := addImage(t, s, "x", sparseTar(t, 1<<30))
	if _, err := img.Root(t.Context()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	checkNothingUnpacked(t, s)
	s = OpenStore(filepath.Join(t.TempDir(), "images"), Options{Limits: Limits{Unpacked: 1 << 20}})
	addImage(t, s, "x", sparseTar(t, 1<<10))
	if got := rootOf(t, s, "x"); got != "sparse="+strings.Repeat("\x00", 1<<10)+"\n" {
		t.Errorf("got %q", got)
	}
}

// sparseTar returns a PAX 1.0 sparse file of nothing but a hole.
func sparseTar(t testing.TB, size int64) []byte {
	t.Helper()
	record := func(k, v string) string {
		n := len(k) + len(v) + 3
		for {
			s := strconv.Itoa(n) + " " + k + "=" + v + "\n"
			if len(s) == n {
				return s
			}
			n = len(s)
		}
	}
	pax := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "sparse") + record("GNU.sparse.realsize", strconv.FormatInt(size, 10))
	var b bytes.Buffer
	block := func(h tar.Header, content string) {
		raw := tarOf(t, file("x", content))[:512]
		copy(raw[0:100], make([]byte, 100))
		copy(raw[0:], h.Name)
		raw[156] = h.Typeflag
		sum := 0
		copy(raw[148:156], "        ")
		for _, c := range raw {
			sum += int(c)
		}
		copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
		b.Write(raw)
		b.WriteString(content)
		b.Write(make([]byte, (512-len(content)%512)%512))
	}
	block(tar.Header{Name: "pax", Typeflag: 'x'}, pax)
	sparseMap := "1\n" + strconv.FormatInt(size, 10) + "\n0\n"
	block(tar.Header{Name: "GNUSparseFile.0/sparse", Typeflag: '0'}, sparseMap+strings.Repeat("\x00", 512-len(sparseMap)))
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func TestUnpackModes(t *testing.T) {
	s := newStore(t)
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	h := file("suid", "x")
	h.Mode, h.ModTime = 0o6755|0o1000, at
	none := file("none", "x")
	none.Mode = 0o4001
	d := dir("d")
	d.Mode = 0o7000
	img := addImage(t, s, "x", tarOf(t, h, none, d))
	root, err := img.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"suid": 0o555, "none": 0o445, "d": fs.ModeDir | 0o755, ".": fs.ModeDir | 0o755} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has %v, not %v", name, info.Mode(), want)
		}
		if name == "suid" && !info.ModTime().Equal(at) {
			t.Errorf("%s is of %v", name, info.ModTime())
		}
	}
}

func TestUnpackDamaged(t *testing.T) {
	good := tarOf(t, file("a", strings.Repeat("content ", 1000)))
	for name, spoil := range map[string]func(testing.TB, []byte) []byte{
		"cut":     func(t testing.TB, b []byte) []byte { z := gzipped(t, b); return z[:len(z)-20] },
		"flipped": func(t testing.TB, b []byte) []byte { b = slices.Clone(b); b[600] ^= 1; return b },
		"not tar": func(t testing.TB, b []byte) []byte { return gzipped(t, []byte(strings.Repeat("no tar ", 1000))) },
		"empty":   func(testing.TB, []byte) []byte { return nil },
		"no gzip": func(testing.TB, []byte) []byte { return []byte("\x1f\x8bnothing") },
		"no zstd": func(testing.TB, []byte) []byte { return []byte("\x28\xb5\x2f\xfdnothing") },
	} {
		s := newStore(t)
		img, err := tryAddImage(t, s, "x", spoil, good)
		if err == nil {
			_, err = img.Root(t.Context())
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		checkNothingUnpacked(t, s)
	}
	// A blob that was changed on the disk.
	s := newStore(t)
	img := addImage(t, s, "x", good)
	blob := s.blobPath(img.manifest.Layers[0].Digest)
	b := slices.Clone(good)
	b[600] ^= 1
	if err := os.WriteFile(blob, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Root(t.Context()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a blob changed on the disk: %v", err)
	}
}

// FuzzUnpack applies arbitrary bytes as the second of two layers: whatever
// they are, nothing outside of the image changes.
func FuzzUnpack(f *testing.F) {
	for _, c := range hostile {
		for _, l := range c.layers {
			if !strings.Contains(c.name, "long") && !strings.Contains(c.name, "deep") {
				f.Add(tarOf(f, l...))
			}
		}
	}
	f.Add(gzipped(f, tarOf(f, file("a", "b"))))
	f.Add(sparseTar(f, 1<<12))
	below := tarOf(f, dir("d"), symlink("up", "../.."), symlink("abs", "/"), file("d/f", "1"), hardlink("h", "d/f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := OpenStore(filepath.Join(t.TempDir(), "a", "images"), Options{Limits: Limits{Unpacked: 1 << 20, Entries: 100}})
		s.noSync = true
		outside := writeOutside(t, s)
		img, err := tryAddImage(t, s, "x", nil, below, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := img.Root(t.Context()); err != nil {
			checkNoParts(t, s)
		}
		outside()
	})
}

// checkNoParts looks for unpacking that was given up.
func checkNoParts(t testing.TB, s *Store) {
	t.Helper()
	if parts, _ := filepath.Glob(s.path("unpacked", "part-*")); len(parts) > 0 {
		t.Errorf("%v was left", parts)
	}
}
