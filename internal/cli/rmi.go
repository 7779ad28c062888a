package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

func (a *app) rmiCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rmi IMAGE...",
		Short: "Remove images",
		Long: `Take names off images. An image of which no name is left is removed; one that
runs keeps its files until it ends.`,
		Args: arguments(1, -1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			r, err := s.Remove(ctx, args, force)
			if err != nil {
				return err
			}
			return a.removed(r)
		}),
		ValidArgsFunction: a.completeImage(-1),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove all names of an image that is given by its digest")
	a.jsonFlag(cmd)
	return cmd
}
