package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show what this hako is",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			return a.done(v, "hako %s, revision %s, %s %s/%s, SQLite by modernc.org/sqlite %s", v.Version, v.Revision, v.Go, v.OS, v.Arch, v.SQLite)
		},
	}
	a.jsonFlag(cmd)
	return cmd
}

// revision is what was built, in git's words. The Makefile sets it; else it is
// what the go command has noted.
var revision string

type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	SQLite   string `json:"modernc_sqlite"`
}

func buildVersion() versionJSON {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(info, revision)
}

func versionOf(info *debug.BuildInfo, revision string) versionJSON {
	v := versionJSON{
		Version:  cmp.Or(info.Main.Version, "unknown"),
		Revision: cmp.Or(revision, builtRevision(info.Settings), "unknown"),
		Go:       runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, SQLite: "unknown",
	}
	for _, d := range info.Deps {
		if d.Path == "modernc.org/sqlite" {
			v.SQLite = d.Version
		}
	}
	return v
}

// builtRevision returns the revision among what the go command notes in a
// program, "" if it was built elsewhere than in a working copy.
func builtRevision(settings []debug.BuildSetting) string {
	rev, dirty := "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}
