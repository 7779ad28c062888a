package cli

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	h := newHarness(t)
	var v versionJSON
	if err := json.Unmarshal([]byte(h.ok("version", "--json")), &v); err != nil || v.Revision == "" || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("version: %+v, %v", v, err)
	}
	if out := h.ok("version"); !strings.HasPrefix(out, "hako "+v.Version+", revision "+v.Revision+", "+v.Go) {
		t.Errorf("version prints %s", out)
	}
	built := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Deps:     []*debug.Module{{Path: "modernc.org/sqlite", Version: "v1.61.1"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
	}
	for _, c := range []struct {
		info              *debug.BuildInfo
		revision          string
		version, from, by string
	}{
		{built, "", "v1.2.3", "0123456789ab-dirty", "v1.61.1"},
		{built, "v1.2.3-4-g0123", "v1.2.3", "v1.2.3-4-g0123", "v1.61.1"},
		{&debug.BuildInfo{}, "", "unknown", "unknown", "unknown"},
	} {
		if v := versionOf(c.info, c.revision); v.Version != c.version || v.Revision != c.from || v.SQLite != c.by {
			t.Errorf("version of %+v, %q: %+v", c.info, c.revision, v)
		}
	}
}
