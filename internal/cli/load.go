package cli

import (
	"context"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

func (a *app) loadCommand() *cobra.Command {
	var input string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Read images from an archive",
		Long: `Read images from a tar archive (an OCI archive or one of docker save, plain or
compressed) or from a folder that is an OCI layout. Without -i it is the input.`,
		Args: arguments(0, 0),
		RunE: a.withImages(func(ctx context.Context, s *image.Store, _ []string) error {
			if input == "" && isTerminal(a.In) {
				return usageErrorf("an archive does not come from a terminal: say -i FILE, or pipe it in")
			}
			p := a.progress("load", "", true)
			var list []image.Pulled
			var err error
			if input == "" {
				list, err = s.LoadFrom(ctx, a.In, image.LoadOptions{Progress: p.update})
			} else {
				list, err = s.Load(ctx, input, image.LoadOptions{Progress: p.update})
			}
			p.end()
			if err != nil {
				return err
			}
			if a.json {
				names := make([]imageNameJSON, len(list))
				for i, l := range list {
					names[i] = imageNameJSON{l.Name, l.Digest, l.New}
				}
				return a.printJSON(names)
			}
			for _, l := range list {
				if l.Name == "" {
					err = a.say("loaded %s", l.Digest)
				} else {
					err = a.say("loaded %s: %s", l.Name, l.Digest)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: a.completeImage(0),
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "file or folder to read")
	_ = cmd.MarkFlagFilename("input")
	a.jsonFlag(cmd)
	return cmd
}
