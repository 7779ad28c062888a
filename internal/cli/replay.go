package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/hako-run/hako/gateway"
	"github.com/hako-run/hako/internal/server"
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

// replayOptions are the flags of hako replay.
type replayOptions struct {
	server  string
	last    bool
	body    string
	headers []string
	branch  string
	diff    bool
}

func (a *app) replayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay [ID|LOGLINE|-]",
		Short: "Run a logged request again on the snapshots that it saw",
		Long: `Run a request again that an app of a running server has answered, on the versions
of the databases that it saw, print the answer and say how it differs from the
first one. ID is the request's, from the access log or the answer's header
X-Request-Id; a line of the access log (json) does as well, - reads it from
standard input.

The app's databases are read-only: those that the request used are as they were,
before it wrote if it did, others are the newest. With --branch it writes to
branches that are made of them. What an app does beside its databases, in folders
or over the network, it does again.

The access log has no headers and no bodies: server.log.record keeps them, apart
from secrets. --header and --body give what is missing.`,
		Example: `  hako replay --last
  hako replay 9f3c5a1e77b0d412 --diff
  hako replay 9f3c5a1e77b0d412 --header 'Cookie: session=...' --body @form.txt
  hako replay 9f3c5a1e77b0d412 --branch try`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.last == (len(args) > 0) {
				return usageErrorf("hako replay wants the ID of a request, a line of the access log, or --last")
			}
			if o.branch != "" {
				if err := pagestore.CheckName(o.branch); err != nil {
					return err
				}
			}
			if a.server == nil {
				return a.passOn(cmd.Context(), o.server)
			}
			return a.replay(cmd.Context(), strings.Join(args, ""), &o, cmd.Flags().Changed("body"))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.last, "last", false, "the last request that an app has answered")
	flags.StringVar(&o.server, "server", "", "the server, by the name that hako ps shows (default: that of this folder, or the only one)")
	flags.StringVar(&o.body, "body", "", "body of the request, or @FILE")
	flags.StringArrayVar(&o.headers, "header", nil, "`NAME: VALUE` in place of what was recorded; may be repeated")
	flags.StringVar(&o.branch, "branch", "", "write to a branch of this `NAME`; with several databases, NAME-DATABASE")
	flags.BoolVar(&o.diff, "diff", false, "print only what differs from the first answer; exit code 1 if something does")
	_ = cmd.RegisterFlagCompletionFunc("server", a.completeProcess)
	a.jsonFlag(cmd)
	return cmd
}

// passOn has a server run this command line.
func (a *app) passOn(ctx context.Context, name string) error {
	if a.shared != nil {
		return errors.New("this process serves no apps")
	}
	registry, info, _, err := a.findProcess(name)
	if err != nil {
		return err
	}
	if !info.Commands || len(info.Apps) == 0 {
		return fmt.Errorf("%s serves no apps", info.Name)
	}
	code, err := a.relayed(ctx, registry, info.Name, a.args)
	if err != nil || code == exitOK {
		return err
	}
	return &exitError{code: code}
}

func (a *app) replay(ctx context.Context, which string, o *replayOptions, withBody bool) error {
	n, err := a.findEntry(which)
	if err != nil {
		return err
	}
	r := server.Replay{Entry: n, Branch: o.branch, Header: http.Header{}}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return usageErrorf("--header %q: write 'NAME: VALUE'", h)
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if withBody {
		r.Body = []byte(o.body)
		if file, ok := strings.CutPrefix(o.body, "@"); ok {
			if r.Body, err = os.ReadFile(a.path(file)); err != nil {
				return err
			}
		}
	}
	w := &replayWriter{header: http.Header{}, hash: sha256.New()}
	switch {
	case a.json:
		w.keep = true
	case !o.diff:
		w.to = a.Out
	}
	account, err := a.server.Replay(ctx, w, r)
	if errors.Is(err, server.ErrIncomplete) {
		return hintedError{err, "--body gives it; server.log.record keeps those of requests to come"}
	}
	if err != nil {
		return err
	}
	if w.err != nil {
		return w.err
	}
	w.begin()
	result := w.compare(n, account)
	if a.json {
		err = a.printJSON(result)
	} else {
		err = result.print(a, n, o.diff)
	}
	if err == nil && o.diff && len(result.Differs) > 0 {
		err = &exitError{code: exitFailed}
	}
	return err
}

// findEntry finds the request that is meant.
func (a *app) findEntry(which string) (n *gateway.Entry, err error) {
	switch {
	case which == "":
		if n, err = a.server.Last(); n == nil && err == nil {
			err = errors.New("no app has answered a request since the server started")
		}
		return n, err
	case which == "-":
		b, err := io.ReadAll(io.LimitReader(a.In, maxLogLine))
		if err != nil {
			return nil, fmt.Errorf("read the line of the log: %w", err)
		}
		which = string(b)
	case !strings.HasPrefix(which, "{"):
		if n, err = a.server.Find(which); n == nil && err == nil {
			err = hintedError{fmt.Errorf("no request %q is known", which), "the server remembers the last ones; older ones are found in server.log.file, or by the line of the log itself"}
		}
		return n, err
	}
	if n, err = gateway.ParseEntry([]byte(which)); err != nil {
		return nil, usageErrorf("this is no line of the access log in JSON form: %v", err)
	}
	if n.Method == "" || n.URI == "" {
		return nil, usageErrorf("this is no line of the access log: it has no method or no uri")
	}
	if n.ID != "" && !n.Recorded { // more may be known
		if recorded, err := a.server.Find(n.ID); err == nil && recorded != nil && recorded.Recorded {
			return recorded, nil
		}
	}
	return n, nil
}

// maxLogLine bounds a line of the log, with a body that was recorded.
const maxLogLine = 64 << 20

// A replayWriter takes the answer of a replay.
type replayWriter struct {
	to     io.Writer // nil: nowhere
	keep   bool
	header http.Header
	status int
	length int64
	hash   hash.Hash
	body   []byte
	err    error // of to
}

func (w *replayWriter) Header() http.Header { return w.header }

func (w *replayWriter) WriteHeader(status int) {
	if status < 200 || w.status != 0 {
		return
	}
	w.status = status
	if w.to == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", status, http.StatusText(status))
	for _, name := range slices.Sorted(maps.Keys(w.header)) {
		for _, value := range w.header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	_, w.err = io.WriteString(w.to, visible(b.String())+"\n")
}

// begin begins an answer that has no body.
func (w *replayWriter) begin() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

func (w *replayWriter) Write(p []byte) (int, error) {
	w.begin()
	w.length += int64(len(p))
	w.hash.Write(p)
	if w.keep {
		w.body = append(w.body, p...)
	}
	if w.to != nil && w.err == nil {
		_, w.err = w.to.Write(p)
	}
	return len(p), w.err
}

// Flush implements http.Flusher: nothing is held back.
func (w *replayWriter) Flush() { w.begin() }

// A replayResult is what came of a replay.
type replayResult struct {
	Of        string            `json:"of"`
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URI       string            `json:"uri"`
	Snapshots string            `json:"snapshots"` // that it ran on
	Branches  []string          `json:"branches,omitempty"`
	Databases map[string]uint64 `json:"databases,omitempty"` // that it read or wrote
	Status    int               `json:"status"`
	Header    http.Header       `json:"header"`
	Length    int64             `json:"length"`
	Hash      string            `json:"hash"`
	Body      string            `json:"body"`
	Withheld  []string          `json:"withheld,omitempty"`
	Differs   []string          `json:"differs"`
	compared  []string
}

// compare says how an answer differs from the first one.
func (w *replayWriter) compare(n *gateway.Entry, a *gateway.Account) *replayResult {
	r := &replayResult{
		Of: n.ID, ID: w.header.Get("X-Request-Id"), Method: n.Method, URI: n.URI, Snapshots: a.Pinned, Branches: a.Branches,
		Status: w.status, Header: w.header, Length: w.length, Hash: hex.EncodeToString(w.hash.Sum(nil)[:16]),
		Body: string(w.body), Withheld: n.Withheld, Differs: []string{},
	}
	for _, v := range a.Versions {
		if r.Databases == nil {
			r.Databases = map[string]uint64{}
		}
		r.Databases[v.Name] = v.Version
	}
	r.compared = append(r.compared, fmt.Sprintf("status %d", w.status), countText(w.length, "byte"))
	if w.status != n.Status {
		r.Differs = append(r.Differs, fmt.Sprintf("status %d, first it was %d", w.status, n.Status))
	}
	if w.length != n.Length() && n.Method != http.MethodHead {
		r.Differs = append(r.Differs, fmt.Sprintf("%s, first there were %d", countText(w.length, "byte"), n.Length()))
	}
	if n.Hash != "" {
		if r.compared = append(r.compared, "hash "+r.Hash[:12]); r.Hash != n.Hash {
			r.Differs = append(r.Differs, fmt.Sprintf("hash %s, first it was %.12s", r.Hash[:12], n.Hash))
		}
	}
	return r
}

// print tells a person: beside the answer on standard error, without it on
// standard output.
func (r *replayResult) print(a *app, n *gateway.Entry, alone bool) error {
	out := a.Err
	if alone {
		out = a.Out
	} else if r.Length > 0 {
		fmt.Fprintln(out)
	}
	on := ""
	if r.Snapshots != "" {
		on = " on " + r.Snapshots
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s of %s%s\n", r.Method, r.URI, timeText(n.Time), on)
	for _, name := range r.Branches {
		fmt.Fprintf(&b, "wrote to branch %s: `hako db log %s` shows what; `hako db delete %s` deletes it\n", name, name, name)
	}
	if len(r.Withheld) > 0 {
		fmt.Fprintf(&b, "without %s, which the recorder left out\n", strings.Join(r.Withheld, ", "))
	}
	if !n.Recorded {
		b.WriteString("without its headers, which were not recorded\n")
	}
	if len(r.Differs) == 0 {
		fmt.Fprintf(&b, "the same as the first answer: %s\n", strings.Join(r.compared, ", "))
	}
	for _, d := range r.Differs {
		fmt.Fprintf(&b, "differs: %s\n", d)
	}
	_, err := io.WriteString(out, visible(b.String()))
	return err
}
