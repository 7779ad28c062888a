package wasi_test

import (
	"strings"
	"testing"

	"github.com/hako-run/hako/wasi"
)

// The programs that are plain POSIX give the same as a guest and on the host,
// in a directory of the host and in memory.
func TestConformance(t *testing.T) {
	for _, program := range []struct {
		name     string
		differs  map[string]string // lines that differ from the host's, and why below
		inMemory map[string]string // the same for a directory in memory
	}{
		{name: "files"},
		{name: "dirs"},
		{name: "links"},
		{name: "times"},
	} {
		t.Run(program.name, func(t *testing.T) {
			m := guest(t, program.name)
			want := native(t, program.name, t.TempDir())
			if !strings.HasSuffix(want, "done\n") {
				t.Fatalf("the program did not get to its end on the host:\n%s", want)
			}
			walks(t, func(t *testing.T) {
				got, code := run(t, m, wasi.Config{
					Args:   []string{program.name, "/box"},
					Grants: dirs(t, wasi.DirGrant{Host: t.TempDir(), Guest: "/box"}),
				})
				if code != 0 {
					t.Errorf("exit code %d", code)
				}
				sameLines(t, got, want, program.differs)
			})
			t.Run("memory", func(t *testing.T) {
				got, code := run(t, m, wasi.Config{
					Args: []string{program.name, "/box"},
					Tmp:  []wasi.Tmp{{Guest: "/box", Size: 64 << 20}},
				})
				if code != 0 {
					t.Errorf("exit code %d", code)
				}
				both := map[string]string{}
				for _, m := range []map[string]string{program.differs, program.inMemory} {
					for k, v := range m {
						both[k] = v
					}
				}
				sameLines(t, got, want, both)
			})
		})
	}
}
