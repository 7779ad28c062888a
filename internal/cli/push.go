package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

func (a *app) pushCommand() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "push IMAGE",
		Short: "Send an image to its registry",
		Long: `Send an image to the registry that its name begins with; a name without one is
docker.io's. ` + "`hako tag`" + ` gives an image another name. Credentials are those of
` + "`docker login`" + `.`,
		Args: arguments(1, 1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			p := a.progress("push "+args[0], "asking the registry", true)
			digest, err := s.Push(ctx, args[0], image.PushOptions{RegistryOptions: image.RegistryOptions{Insecure: insecure}, Progress: p.update})
			p.end()
			if err != nil {
				return err
			}
			return a.done(map[string]string{"name": args[0], "digest": digest}, "pushed %s: %s", args[0], digest)
		}),
		ValidArgsFunction: a.completeImage(1),
	}
	insecureFlag(cmd, &insecure)
	a.jsonFlag(cmd)
	return cmd
}
