package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hako-run/hako/internal/cli/shell"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/spf13/cobra"
)

func (a *app) shellCommand() *cobra.Command {
	var mode, locking string
	var headers, json bool
	cmd := &cobra.Command{
		Use:   "shell SNAPSHOT [SQL ...]",
		Short: "Run SQL on a database: interactively, from standard input, or as an argument",
		Long: `Run SQL on a database: interactively, from standard input if that is no terminal,
or as an argument. A snapshot other than the newest version is read-only.

Interactively, results are boxes, Tab completes, and .help lists the commands.
Otherwise results are lists as sqlite3 prints them, and the first error ends it.`,
		Example: `  hako db shell shop
  hako db shell shop@-1d 'SELECT count(*) FROM orders'
  hako db shell shop --mode csv --headers 'SELECT * FROM orders' > orders.csv
  hako db shell shop < schema.sql`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := shell.Options{In: a.In, Out: a.Out, Err: a.Err, Mode: mode, SQL: args[1:]}
			if json {
				if mode != "" && mode != "json" {
					return usageErrorf("--json and --mode %s exclude each other", mode)
				}
				o.Mode = "json"
			}
			if o.Mode != "" {
				if _, err := shell.ParseMode(o.Mode); err != nil {
					return usageError{err}
				}
			}
			if cmd.Flags().Changed("headers") {
				o.Headers = map[bool]string{true: "on", false: "off"}[headers]
			}
			if locking != "" && locking != string(sqlite.LockingWriter) && locking != string(sqlite.LockingOptimistic) {
				return usageErrorf("--locking %s: choose writer or optimistic", locking)
			}
			o.Interactive = len(o.SQL) == 0 && isTerminal(a.In) && isTerminal(a.Out)
			if o.Interactive && a.shared != nil {
				return errInteractive
			}
			o.Path = a.path
			return a.shell(cmd.Context(), args[0], locking, o)
		},
		ValidArgsFunction: a.complete(completeSnapshot),
	}
	cmd.Flags().StringVar(&mode, "mode", "", "how results look: box, table, column, list, csv, tabs, json, jsonl, line, markdown, quote, insert, html")
	cmd.Flags().BoolVar(&headers, "headers", false, "show the names of columns, or not")
	cmd.Flags().BoolVar(&json, "json", false, "the same as --mode json")
	cmd.Flags().StringVar(&locking, "locking", "", "how writers keep from colliding: writer (they queue) or optimistic")
	modes := make([]string, len(shell.Modes))
	for i, m := range shell.Modes {
		modes[i] = string(m)
	}
	_ = cmd.RegisterFlagCompletionFunc("mode", fixedWords(modes...))
	_ = cmd.RegisterFlagCompletionFunc("locking", fixedWords("writer", "optimistic"))
	return cmd
}

// trimInterval is how often a command that runs for long applies what the
// databases retain.
const trimInterval = time.Minute

func (a *app) shell(ctx context.Context, snapshot, locking string, o shell.Options) error {
	a.storeOptions.TrimInterval = cmp.Or(a.storeOptions.TrimInterval, trimInterval)
	return a.withSnapshot(snapshot, func(s *pagestore.Store, at *pagestore.Snapshot) (err error) {
		name := at.String()
		head := !strings.Contains(snapshot, "@") || strings.HasSuffix(snapshot, "@head")
		what := "version " + versionText(at.Version()) + " of " + timeText(at.Commit().Time) + ", read-only"
		if head {
			name = at.Database().Name()
			what = "newest version " + versionText(at.Version())
		}
		o.Hint = hintFor
		o.Prompt = func(c *sql.Conn) string {
			prompt := at.Database().Name()
			if pinned, err := sqlite.Pinned(c); err == nil && pinned != "" { // to what it was opened with, or by hako_at
				prompt = pinned
			}
			if !head {
				prompt += " (read-only)"
			}
			return prompt
		}
		if o.Interactive {
			o.Banner = fmt.Sprintf("%s: %s. .help for help, Ctrl-D to leave.", at.Database().Name(), what)
			o.History = stateFile("shell-history")
			a.keepsInterrupt.Store(true)
			defer a.keepsInterrupt.Store(false)
		}
		if locking != "" {
			name += "?" + url.Values{"locking": {locking}}.Encode()
		}
		db, err := sqlite.OpenDB(s, name)
		if err != nil {
			return err
		}
		defer func() {
			if e := db.Close(); err == nil {
				err = e
			}
		}()
		o.DB = db
		err = shell.Run(ctx, o)
		if errors.Is(err, shell.ErrFailed) {
			return silentError{err}
		}
		return err
	})
}
