package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

func (a *app) imageTagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tag IMAGE NAME",
		Short: "Give an image another name",
		Args:  arguments(2, 2),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			ref, err := s.Tag(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return a.done(map[string]string{"image": args[0], "name": ref.String()}, "%s is %s as well", args[0], ref)
		}),
		ValidArgsFunction: a.completeImage(2),
	}
	a.jsonFlag(cmd)
	return cmd
}
