package cli

import (
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

func (a *app) retainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retain NAME 30d|1000|all",
		Short: "Set how much history is kept: an age, a number of versions, or all",
		Long: `Set how much history is kept: an age, a number of versions, or all. Older versions
are dropped once a minute while a hako runs that has the databases open, such as
hako db shell, and by hako db trim NAME or hako db trim --all.`,
		Args: arguments(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			policy, err := pagestore.ParseRetention(args[1])
			if err != nil {
				return usageError{err}
			}
			return a.withDatabase(args[0], func(d *pagestore.Database) error {
				if err := d.SetRetention(policy); err != nil {
					return err
				}
				return a.reportInfo(d, "%s retains %s", d.Name(), retentionText(policy))
			})
		},
		ValidArgsFunction: a.complete(completeName, func(*pagestore.Store, []string, string) []string { return []string{"all", "30d", "1000"} }),
	}
	a.jsonFlag(cmd)
	return cmd
}

func retentionText(r pagestore.Retention) string {
	switch {
	case r.All():
		return "all versions"
	case r.Count > 0:
		return "the newest " + countText(int64(min(r.Count, 1<<62)), "version")
	}
	return "the versions of the last " + r.String()
}
