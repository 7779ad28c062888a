package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

// imageJSON is an image for programs.
type imageJSON struct {
	imageInfoJSON
	Config      image.Config      `json:"config"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Layers      []image.LayerInfo `json:"layers"`
}

func imageJSONOf(img *image.Image) imageJSON {
	v := imageJSON{Config: img.Config, Annotations: img.Annotations, Layers: img.Layers()}
	v.imageInfoJSON = imageInfoJSON{Name: img.Name, Digest: img.Digest, Platform: img.Platform, Size: img.Size, Artifact: img.Artifact}
	if !img.Created.IsZero() {
		v.Created = timeJSON(img.Created)
	}
	return v
}

func (a *app) inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect IMAGE...",
		Short: "Show what an image says about itself",
		Args:  arguments(1, -1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			var list []imageJSON
			for _, arg := range args {
				img, err := s.Open(ctx, arg)
				if err != nil {
					return err
				}
				list = append(list, imageJSONOf(img))
				if err := img.Close(); err != nil {
					return err
				}
			}
			if a.json {
				return a.printJSON(list)
			}
			for i, v := range list {
				if i > 0 {
					if err := a.say(""); err != nil {
						return err
					}
				}
				if err := a.showImage(v); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: a.completeImage(-1),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) showImage(v imageJSON) error {
	t := newTable(a.Out, nil, "name", orDash(v.Name))
	t.row("digest", v.Digest)
	platform := v.Platform
	if v.Artifact {
		platform += " artifact"
	}
	t.row("platform", platform)
	t.row("size", sizeText(v.Size))
	words := func(name string, list []string) {
		if len(list) > 0 {
			t.row(name, commandText(list))
		}
	}
	words("entrypoint", v.Config.Entrypoint)
	words("command", v.Config.Cmd)
	if v.Config.WorkingDir != "" {
		t.row("workdir", v.Config.WorkingDir)
	}
	for _, kv := range v.Config.Env {
		t.row("env", kv)
	}
	words("expose", v.Config.ExposedPorts)
	for _, k := range slices.Sorted(maps.Keys(v.Config.Labels)) {
		t.row("label", k+"="+v.Config.Labels[k])
	}
	for _, k := range slices.Sorted(maps.Keys(v.Annotations)) {
		t.row("annotation", k+"="+v.Annotations[k])
	}
	for _, l := range v.Layers {
		t.row("layer", l.Digest+"  "+sizeText(l.Size))
	}
	return t.flush()
}

func orDash(s string) string {
	if s == "" {
		return noName
	}
	return s
}

// commandText writes words so that they can be told apart.
func commandText(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\n\"'\\") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
