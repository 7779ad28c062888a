package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

type imageNameJSON struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest"`
	New    bool   `json:"new"`
}

func (a *app) pullCommand() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "pull IMAGE",
		Short: "Fetch an image from a registry",
		Long: `Fetch an image from a registry. IMAGE is written as for docker: a name without a
registry is docker.io's, one without a tag or digest is :latest. Credentials are
those of ` + "`docker login`" + `. A pull that failed goes on where it ended.`,
		Args: arguments(1, 1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			p, err := a.pullImage(ctx, s, args[0], image.PullOptions{RegistryOptions: image.RegistryOptions{Insecure: insecure}})
			if err != nil {
				return err
			}
			v := imageNameJSON{p.Name, p.Digest, p.New}
			if !p.New {
				return a.done(v, "%s is up to date: %s", p.Name, p.Digest)
			}
			return a.done(v, "pulled %s: %s", p.Name, p.Digest)
		}),
		ValidArgsFunction: a.completeImage(1),
	}
	insecureFlag(cmd, &insecure)
	a.jsonFlag(cmd)
	return cmd
}
