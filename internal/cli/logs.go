package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) logsCommand() *cobra.Command {
	var q hakoapp.LogQuery
	var lines int
	var since string
	cmd := &cobra.Command{
		Use:   "logs [NAME|APP]",
		Short: "Show what a running server and its apps log",
		Long: `Show the last lines that a running process logged. NAME is one of those that
` + "`hako ps`" + ` lists; an APP of a server's shows only the lines about it. Without
either it is the server of the hako.toml in this folder, or the only process.

A server keeps the newest 4 MiB of its own log (source server), of what its apps
write to standard output and error and how they fail (source app), and of its
access log (source access). What hako run runs without -t keeps what it writes.
Lines that came faster than they could be shown are counted.`,
		Example: `  hako logs -f
  hako logs -n 20 shop
  hako logs --source access --since 10m --json`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Last = lines
			if since != "" {
				var err error
				if q.Since, err = parseSince(since, time.Now()); err != nil {
					return err
				}
				if !cmd.Flags().Changed("lines") {
					q.Last = -1
				}
			}
			for _, s := range q.Sources {
				if !slices.Contains(logSources, s) {
					return usageErrorf("--source %s: it is one of %s", s, strings.Join(logSources, ", "))
				}
			}
			return a.logs(cmd.Context(), strings.Join(args, ""), q)
		},
		ValidArgsFunction: a.completeProcess,
	}
	flags := cmd.Flags()
	flags.BoolVarP(&q.Follow, "follow", "f", false, "go on with the lines that come")
	flags.IntVarP(&lines, "lines", "n", 100, "how many of the last lines to show; -1 for all that are kept")
	flags.StringVar(&since, "since", "", "only lines since a time (2026-11-22T10:00) or an age (10m); all of them, unless -n is given")
	flags.StringVar(&q.App, "app", "", "only lines about this app")
	flags.StringSliceVar(&q.Sources, "source", nil, "only lines of server, app or access; several with commas")
	_ = cmd.RegisterFlagCompletionFunc("source", fixedWords(logSources...))
	a.jsonFlag(cmd)
	return cmd
}

var logSources = []string{hakoapp.SourceServer, hakoapp.SourceApp, hakoapp.SourceAccess}

// errOutputFull ends a command whose output nobody reads any more.
var errOutputFull = errors.New("the output could not be written")

func (a *app) logs(ctx context.Context, name string, q hakoapp.LogQuery) error {
	registry, info, appName, err := a.findProcess(name)
	if err != nil {
		return err
	}
	if appName != "" {
		if q.App != "" && q.App != appName {
			return usageErrorf("%s is an app, and --app says %s", appName, q.App)
		}
		q.App = appName
	}
	if q.App != "" && len(info.Apps) > 0 && !slices.Contains(info.Apps, q.App) {
		return fmt.Errorf("%s has no app %q: it has %s", info.Name, q.App, strings.Join(info.Apps, ", "))
	}
	encoder := json.NewEncoder(a.Out)
	encoder.SetEscapeHTML(false)
	print := func(l *hakoapp.LogLine) error {
		if a.json {
			err = encoder.Encode(l)
		} else {
			_, err = io.WriteString(a.Out, logText(l))
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errOutputFull, err)
		}
		return nil
	}
	if err := registry.Logs(ctx, info.Name, q, print); err != nil {
		return err
	}
	if q.Follow && ctx.Err() == nil {
		fmt.Fprintf(a.Err, "%s has ended\n", info.Name)
	}
	return nil
}

// logText is a line for people.
func logText(l *hakoapp.LogLine) string {
	var b strings.Builder
	b.WriteString(l.Time.Local().Format("15:04:05.000 "))
	if l.Dropped > 0 {
		fmt.Fprintf(&b, "-- %s not shown: they came too fast --\n", countText(int64(l.Dropped), "line"))
		return b.String()
	}
	who := l.App
	if who == "" {
		who = l.Source
	}
	if l.Source == hakoapp.SourceAccess {
		who = l.Source
	}
	fmt.Fprintf(&b, "%-8s ", visible(who))
	if l.Source == hakoapp.SourceAccess && l.Fields != nil {
		b.WriteString(visible(accessText(l.Fields)))
		return b.String() + "\n"
	}
	switch {
	case l.Stream == "stderr":
		b.WriteString("! ")
	case l.Stream == "" && l.Level != "" && l.Level != "INFO":
		b.WriteString(visible(l.Level) + " ")
	}
	// What a guest writes has tabs; anything else that moves the cursor is
	// shown, for it comes from strangers.
	b.WriteString(strings.ReplaceAll(visible(l.Text), "\n", `\n`))
	if fields := fieldsText(l.Fields); fields != "" {
		b.WriteString("  " + visible(fields))
	}
	return b.String() + "\n"
}

// accessText is a line of the access log for people.
func accessText(raw json.RawMessage) string {
	var e struct {
		Client, Method, URI, Host, Route, Error string
		Status                                  int
		Bytes                                   int64
		MS                                      float64
		Aborted                                 bool
		App                                     struct{ Name string }
	}
	if json.Unmarshal(raw, &e) != nil {
		return string(raw)
	}
	s := fmt.Sprintf("%d %s %s  %s %s %s", e.Status, e.Method, e.URI, time.Duration(e.MS*float64(time.Millisecond)).Round(10*time.Microsecond), sizeText(e.Bytes), e.Client)
	for _, part := range []struct{ name, value string }{{"route", e.Route}, {"app", e.App.Name}, {"error", e.Error}} {
		if part.value != "" {
			s += "  " + part.name + "=" + quoted(part.value)
		}
	}
	if e.Aborted {
		s += "  aborted"
	}
	return strings.ReplaceAll(s, "\n", `\n`)
}

// fieldsText is an object as name=value, in its order.
func fieldsText(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	var parts []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		var s string
		if json.Unmarshal(value, &s) != nil {
			s = string(value)
		} else {
			s = quoted(s)
		}
		parts = append(parts, fmt.Sprintf("%v=%s", name, s))
	}
	return strings.Join(parts, " ")
}

// quoted puts a text in quotes where it would not be told from its
// surroundings.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=\n\t") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// registries returns those of the processes that are meant without saying
// where: of the data directory, and of that which the hako.toml in this folder
// names.
func (a *app) registries() (list []*hakoapp.Registry) {
	var dirs []string
	if _, configured, err := a.loadConfig(configFile(nil)); err == nil {
		dirs = append(dirs, configured)
	}
	if data, err := a.dataDir(); err == nil && !slices.Contains(dirs, data) {
		dirs = append(dirs, data)
	}
	for _, dir := range dirs {
		list = append(list, hakoapp.NewRegistry(dir))
	}
	return list
}

// findProcess finds the process that a name, or an app's name, means; without
// one, the server of this folder, or the only process there is. app is not ""
// where the name is an app's.
func (a *app) findProcess(name string) (r *hakoapp.Registry, info hakoapp.Info, app string, err error) {
	here := ""
	if _, err := os.Stat(configFile(nil)); err == nil && name == "" {
		if dir, err := filepath.Abs("."); err == nil {
			here = processName(filepath.Base(dir))
		}
	}
	type place struct {
		r    *hakoapp.Registry
		info hakoapp.Info
	}
	var fit []place
	for _, r := range a.registries() {
		if name != "" {
			found, err := r.Find(name)
			if err == nil || !errors.Is(err, hakoapp.ErrNotRunning) {
				return r, found, "", err
			}
		}
		infos, err := r.List()
		if err != nil {
			return nil, info, "", err
		}
		for _, i := range infos {
			if here != "" && i.Name == here {
				return r, i, "", nil
			}
			if name == "" || slices.Contains(i.Apps, name) {
				fit = append(fit, place{r, i})
			}
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0].r, fit[0].info, name, nil
	case len(fit) > 1 && name == "":
		return nil, info, "", usageErrorf("%d processes run: say which, `hako ps` lists them", len(fit))
	case len(fit) > 1:
		return nil, info, "", fmt.Errorf("%d servers have an app %q: name the server, and --app %[2]s", len(fit), name)
	case name == "":
		return nil, info, "", hintedError{errors.New("nothing runs here"), "`hako up` serves a hako.toml; --data says where else to look"}
	}
	return nil, info, "", fmt.Errorf("%q: %w, nor an app of one: hako ps lists them", name, hakoapp.ErrNotRunning)
}
