package server

import (
	"path"
	"slices"
	"strings"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/gateway"
)

// FilesLabel is the label by which an image says that the files of a folder may
// be sent without the guest: the folder, and the arguments that this is true
// for, as "/srv --root /srv". With others the guest may serve another folder,
// so that nothing is sent without it unless the configuration says so.
const FilesLabel = "run.hako.files"

// Files implements gateway.Filer.
func (h *hosted) Files() *gateway.AppFiles { return h.files }

// openFiles opens what is sent without the guest, as the grants show it.
func (h *hosted) openFiles() (*gateway.AppFiles, error) {
	c := h.c.Files
	if c == nil && h.image != nil {
		c = labelled(h.image.Config.Labels[FilesLabel], h.spec.Args)
	}
	if c == nil {
		return nil, nil
	}
	var mounts []gateway.Mount
	if h.spec.Root != "" {
		mounts = append(mounts, gateway.Mount{Guest: "/", Host: h.spec.Root})
	}
	for _, d := range h.spec.Dirs {
		mounts = append(mounts, gateway.Mount{Guest: d.Guest, Host: d.Host})
	}
	for _, t := range h.spec.Tmp {
		mounts = append(mounts, gateway.Mount{Guest: t.Guest})
	}
	if h.spec.Devices {
		mounts = append(mounts, gateway.Mount{Guest: "/dev"})
	}
	return gateway.OpenAppFiles(c, mounts)
}

// labelled returns what a label says for a command line, nil for nothing.
func labelled(label string, args []string) *config.AppFiles {
	words := strings.Fields(label)
	if len(words) == 0 || len(args) == 0 || !slices.Equal(args[1:], words[1:]) || !strings.HasPrefix(words[0], "/") {
		return nil
	}
	return &config.AppFiles{Root: path.Clean(words[0]), Scripts: []string{".php"}}
}
