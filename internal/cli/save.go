package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

func (a *app) saveCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "save IMAGE...",
		Short: "Write images to an archive",
		Long: `Write images to a tar archive, which hako load, docker load, skopeo and other
tools read. Without -o it goes to the output.`,
		Args: arguments(1, -1),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, args []string) error {
			if output == "" && isTerminal(a.Out) {
				return usageErrorf("an archive is nothing for a terminal: say -o FILE, or pipe it on")
			}
			p := a.progress("save", "", true)
			var err error
			if output == "" {
				err = s.Save(ctx, args, a.Out, p.update)
			} else {
				err = s.SaveFile(ctx, args, output, p.update)
			}
			p.end()
			if err != nil || output == "" {
				return err
			}
			return a.done(map[string]any{"saved": args, "output": output}, "saved %s to %s", countText(int64(len(args)), "image"), output)
		}),
		ValidArgsFunction: a.completeImage(-1),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write")
	a.jsonFlag(cmd)
	return cmd
}
