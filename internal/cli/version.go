package cli

import (
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
			return a.done(v, "hako %s, %s %s/%s, SQLite by modernc.org/sqlite %s", v.Version, v.Go, v.OS, v.Arch, v.SQLite)
		},
	}
	a.jsonFlag(cmd)
	return cmd
}

type versionJSON struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	SQLite  string `json:"modernc_sqlite"`
}

func buildVersion() versionJSON {
	v := versionJSON{Version: "unknown", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, SQLite: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, d := range info.Deps {
		if d.Path == "modernc.org/sqlite" {
			v.SQLite = d.Version
		}
	}
	return v
}
