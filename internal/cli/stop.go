package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) stopCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "stop NAME...",
		Short: "End running guests",
		Long: `End running guests, by their names or IDs, and wait until they have. A guest
knows no signals: it ends at once, its transactions are rolled back.`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := a.dataDir()
			if err != nil {
				return err
			}
			registry := hakoapp.NewRegistry(data)
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			var errs []error
			for _, name := range args {
				if err := registry.Stop(ctx, name); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(a.Out, name)
			}
			return errors.Join(errs...)
		},
		ValidArgsFunction: a.completeProcess,
	}
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long to wait for them to be gone")
	return cmd
}
