package cli

import (
	"context"
	"fmt"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

type imageInfoJSON struct {
	Name     string `json:"name,omitempty"`
	Digest   string `json:"digest"`
	Platform string `json:"platform,omitempty"`
	Created  string `json:"created,omitempty"`
	Size     int64  `json:"size"`
	Artifact bool   `json:"artifact"`
	Error    string `json:"error,omitempty"`
}

func (a *app) imagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "images",
		Aliases: []string{"image"},
		Short:   "List the images",
		Args:    arguments(0, 0),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, _ []string) error {
			list, err := s.List(ctx)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(imageInfos(list))
			}
			if len(list) == 0 {
				return a.say("no images yet: fetch one with `hako pull IMAGE` or make one with `hako build -t NAME DIR`")
			}
			t := newTable(a.Out, []int{4}, "NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE")
			for _, i := range list {
				platform := i.Platform
				if i.Artifact {
					platform += " artifact"
				}
				if i.Err != nil {
					t.row(nameText(i.Name), shortDigest(i.Digest), "damaged", "-", "-")
					fmt.Fprintf(a.Err, "hako: %s: %v\n", nameText(i.Name), i.Err)
					continue
				}
				t.row(nameText(i.Name), shortDigest(i.Digest), platform, createdText(i.Created), sizeText(i.Size))
			}
			return t.flush()
		}),
		ValidArgsFunction: a.completeImage(0),
	}
	a.jsonFlag(cmd)
	cmd.AddCommand(a.imagesPruneCommand())
	return cmd
}

func imageInfos(list []image.Info) []imageInfoJSON {
	infos := make([]imageInfoJSON, len(list))
	for i, info := range list {
		infos[i] = imageInfoJSON{Digest: info.Digest, Platform: info.Platform, Size: info.Size, Artifact: info.Artifact}
		if name := nameText(info.Name); name != noName {
			infos[i].Name = name
		}
		if !info.Created.IsZero() {
			infos[i].Created = timeJSON(info.Created)
		}
		if info.Err != nil {
			infos[i].Error = info.Err.Error()
		}
	}
	return infos
}

func (a *app) imagesPruneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove images without a name, and what pulls that failed left",
		Args:  arguments(0, 0),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, _ []string) error {
			r, err := s.Prune(ctx)
			if err != nil {
				return err
			}
			if err := a.removed(r); err != nil || a.json {
				return err
			}
			return a.say("freed %s", sizeText(r.Freed))
		}),
		ValidArgsFunction: a.completeImage(0),
	}
	a.jsonFlag(cmd)
	return cmd
}
