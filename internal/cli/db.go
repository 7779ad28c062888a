package cli

import "github.com/spf13/cobra"

// Commands are listed in the order of a day's work.
func init() { cobra.EnableCommandSorting = false }

func (a *app) dbCommand() *cobra.Command {
	db := &cobra.Command{
		Use:   "db",
		Short: "Make, query, compare, restore, import and export databases",
		Long: `A database is an SQLite database that keeps every version: 1, 2, 3 ..., one for
each commit. A SNAPSHOT is a database at one version:

  shop                        the newest version
  shop@42                     version 42
  shop@2026-11-22T10:00:00Z   what was newest then (without a zone: local time)
  shop@-10m                   what was newest then (units s, m, h, d, w)
  shop@before-sale            the version with that tag`,
	}
	group(db)
	for _, c := range []*cobra.Command{
		a.createCommand(), a.listCommand(), a.showCommand(), a.statCommand(), a.shellCommand(), a.logCommand(),
		a.tagCommand(), a.untagCommand(), a.branchCommand(), a.renameCommand(), a.deleteCommand(), a.diffCommand(),
		a.restoreCommand(), a.importCommand(), a.exportCommand(), a.trimCommand(), a.retainCommand(), a.verifyCommand(),
	} {
		db.AddCommand(c)
	}
	return db
}

// jsonFlag gives cmd --json.
func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON for programs")
}
