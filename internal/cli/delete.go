package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) deleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a database with all its versions; branches of it stay",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				if !yes {
					if err := a.confirmDelete(cmd.Context(), d); err != nil {
						return err
					}
				}
				if err := d.Store().Delete(args[0]); err != nil {
					return err
				}
				return a.done(map[string]string{"deleted": args[0]}, "deleted %s", args[0])
			})
		},
		ValidArgsFunction: a.complete(completeName),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	a.jsonFlag(cmd)
	return cmd
}

// confirmDelete asks the person at the terminal.
func (a *app) confirmDelete(ctx context.Context, d *pagestore.Database) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !isTerminal(a.In) {
		return usageErrorf("delete %s: all its versions would be gone, and nobody is there to confirm it: say --yes", info.Name)
	}
	fmt.Fprintf(a.Err, "Delete %s with its versions %d to %d, for ever? [y/N] ", info.Name, info.Oldest, info.Head.Version)
	answer := make(chan string, 1)
	go func() { // ends with the process, if nobody answers
		text, _ := bufio.NewReader(a.In).ReadString('\n')
		answer <- text
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.Err)
		return ctx.Err()
	case text := <-answer:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "y", "yes":
			return nil
		}
	}
	return fmt.Errorf("%s was not deleted", info.Name)
}
