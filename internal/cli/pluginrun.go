package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/offline"
	"github.com/spf13/cobra"
)

// pluginRunFlags are the flags of hako plugin run as they were written.
type pluginRunFlags struct {
	source                    pluginSource
	config                    pluginConfig
	request, response, record string
	properties, allow, calls  []string
	chunk                     int
	wait                      time.Duration
	headersMayStop            bool
}

func (a *app) pluginRunCommand() *cobra.Command {
	var f pluginRunFlags
	cmd := &cobra.Command{
		Use:   "run FILE|oci://IMAGE --request FILE",
		Short: "Drive one request through a plugin, and print every host call",
		Long: `Drive one request through a Proxy-Wasm plugin without a server, and print every
callback and every call of a host function in order, then what became of the
request and of the response.

Requests and responses are files as HTTP/1.1 writes them; without a file for the
response it is a 200 without a body. Calls to upstreams are answered from files
by --call, which allows them as well. --record keeps what passed, for
` + "`hako plugin replay`" + ` and for bug reports: it has all that the plugin was
shown, its configuration and secrets in headers included.`,
		Example: `  hako plugin run waf.wasm --request get.http
  hako plugin run auth.wasm --request get.http --config @auth.json --call auth=ok.http
  hako plugin run oci://ghcr.io/acme/waf:1 --request - --record waf.jsonl < get.http`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runPlugin(cmd.Context(), args[0], &f)
		},
	}
	f.source.flags(cmd)
	f.config.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.request, "request", "", "`FILE` of the request; - is standard input")
	flags.StringVar(&f.response, "response", "", "`FILE` of the upstream's response")
	flags.StringArrayVar(&f.properties, "property", nil, "set a property, `PATH=VALUE` with dots in the path; may be repeated")
	flags.StringArrayVar(&f.allow, "allow", nil, "allow a `CAPABILITY`, as [[filter]] does; may be repeated")
	flags.StringArrayVar(&f.calls, "call", nil, "answer HTTP calls to an upstream, `UPSTREAM=FILE`; may be repeated")
	flags.IntVar(&f.chunk, "chunk", 0, "most bytes of a body in one callback (default: all)")
	flags.DurationVar(&f.wait, "wait", 5*time.Second, "how long the plugin may hold the request")
	flags.BoolVar(&f.headersMayStop, "headers-may-stop", false, "show the body to a plugin that holds the headers")
	flags.StringVar(&f.record, "record", "", "write what passed to a `FILE`")
	a.jsonFlag(cmd)
	return cmd
}

// textOrFile returns a text, or what is in the file that it names by @.
func (a *app) textOrFile(text string) ([]byte, error) {
	if file, ok := strings.CutPrefix(text, "@"); ok {
		return os.ReadFile(a.path(file))
	}
	return []byte(text), nil
}

// message reads a message from a file.
func (a *app) message(name string, parse func([]byte) (*offline.Message, error)) (*offline.Message, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = readLimited(a.In, 2*offline.MaxMessage)
	} else {
		b, err = os.ReadFile(a.path(name))
	}
	if err != nil {
		return nil, err
	}
	m, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// options reads what the flags name.
func (f *pluginRunFlags) options(a *app) (o offline.Options, err error) {
	switch {
	case f.request == "":
		return o, usageErrorf("hako plugin run needs --request FILE")
	case f.chunk < 0 || f.wait <= 0:
		return o, usageErrorf("--chunk must not be below 0, and --wait must be more than nothing")
	}
	if o.Config, err = f.config.read(a); err != nil {
		return o, err
	}
	o.Config.Allow, o.Config.HeadersMayStop = f.allow, f.headersMayStop
	o.Chunk, o.Wait = f.chunk, f.wait
	if o.Request, err = a.message(f.request, offline.ParseRequest); err != nil {
		return o, err
	}
	o.Response = &offline.Message{Headers: proxywasm.MakeHeaders(":status", "200", "content-length", "0")}
	if f.response != "" {
		if o.Response, err = a.message(f.response, offline.ParseResponse); err != nil {
			return o, err
		}
	}
	o.Calls, o.Properties = map[string]*offline.Message{}, map[string]string{}
	for _, call := range f.calls {
		upstream, file, ok := strings.Cut(call, "=")
		if !ok || upstream == "" {
			return o, usageErrorf("--call %q: write UPSTREAM=FILE", call)
		}
		if o.Calls[upstream], err = a.message(file, offline.ParseResponse); err != nil {
			return o, err
		}
	}
	for _, p := range f.properties {
		path, value, ok := strings.Cut(p, "=")
		if !ok || path == "" {
			return o, usageErrorf("--property %q: write PATH=VALUE", p)
		}
		o.Properties[path] = value
	}
	return o, nil
}

func (a *app) runPlugin(ctx context.Context, source string, f *pluginRunFlags) error {
	o, err := f.options(a)
	if err != nil {
		return err
	}
	m, closeEngine, err := f.source.load(ctx, a, source)
	if err != nil {
		return err
	}
	defer closeEngine()
	o.Config.Module = m
	result, failure := offline.Run(ctx, o)
	if f.record != "" {
		if err := record(a.path(f.record), result); err != nil {
			return err
		}
	}
	if a.json {
		err = a.printJSON(runJSONOf(result, failure))
	} else {
		err = a.showRun(&o, result)
	}
	if err == nil {
		err = failure
	}
	if err == nil && result.Crashed {
		err = fmt.Errorf("the plugin failed: %s", crashOf(result))
	}
	return err
}

func record(name string, r *offline.Result) error {
	var b bytes.Buffer
	if err := offline.Write(&b, r.Events); err != nil {
		return err
	}
	// It has what was in headers.
	return os.WriteFile(name, b.Bytes(), 0o600)
}

// crashOf is the first failure that was recorded.
func crashOf(r *offline.Result) string {
	for _, e := range r.Events {
		if e.Kind == proxywasm.Leave && e.Err != "" {
			return e.Name + ": " + e.Err
		}
	}
	return "its instance ended"
}

// showRun prints the steps, then what came of it.
func (a *app) showRun(o *offline.Options, r *offline.Result) error {
	var b strings.Builder
	var output []byte
	for _, e := range r.Events {
		if e.Kind == proxywasm.Call && e.Name == proxywasm.CallOutput && len(e.In) == 1 {
			output = append(output, e.In[0].Data...)
			continue
		}
		for line := range bytes.Lines(output) { // in one, what was written in pieces
			fmt.Fprintf(&b, "  wrote %q\n", line)
		}
		output = output[:0]
		indent := "  "
		switch {
		case e.Kind == proxywasm.Call && (e.Name == proxywasm.CallClock || e.Name == proxywasm.CallRandom):
			continue // there are many, of some languages
		case e.Kind == proxywasm.Enter:
			indent = ""
		case e.Depth > 0:
			indent = "    "
		}
		fmt.Fprintf(&b, "%s%s\n", indent, offline.Describe(e))
	}
	switch {
	case r.Upstream != nil:
		writeMessage(&b, "the upstream gets", o.Request, r.Upstream)
	case r.Local == "request":
		fmt.Fprintf(&b, "\nthe plugin answers%s\n", orNothing(" (", r.LocalDetails, ")"))
	}
	switch {
	case r.Client != nil && r.Local == "response":
		fmt.Fprintf(&b, "\nthe plugin answers in the response's place%s\n", orNothing(" (", r.LocalDetails, ")"))
		fallthrough
	case r.Client != nil:
		before := o.Response
		if r.Local != "" {
			before = r.Client
		}
		writeMessage(&b, "the client gets", before, r.Client)
	case r.Reset:
		b.WriteString("\nthe plugin closes the stream\n")
	}
	if r.RoutesCleared > 0 {
		b.WriteString("\nthe route is chosen anew\n")
	}
	if len(r.Metrics) > 0 {
		b.WriteString("\nmetrics\n")
	}
	for _, m := range r.Metrics {
		if m.Type == proxywasm.Histogram {
			n, _ := m.Observations()
			fmt.Fprintf(&b, "  %s %s: %d observations, sum %d\n", m.Type, m.Name, n, m.Value())
			continue
		}
		fmt.Fprintf(&b, "  %s %s: %d\n", m.Type, m.Name, int64(m.Value()))
	}
	_, err := a.Out.Write([]byte(visible(b.String())))
	return err
}

func orNothing(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

// bodyShown is how much of a body is printed, in bytes.
const bodyShown = 4096

// writeMessage prints a message, with marks at what differs from what it was.
func writeMessage(b *strings.Builder, title string, was, is *offline.Message) {
	fmt.Fprintf(b, "\n%s\n", title)
	writeHeaders(b, was.Headers, is.Headers)
	switch {
	case len(is.Body) == 0 && len(was.Body) > 0:
		fmt.Fprintf(b, "- body of %d bytes\n", len(was.Body))
	case len(is.Body) > 0:
		mark := " "
		if !bytes.Equal(was.Body, is.Body) {
			mark = "+"
		}
		fmt.Fprintf(b, "%s body of %d bytes\n", mark, len(is.Body))
		shown := is.Body[:min(len(is.Body), bodyShown)]
		for line := range strings.Lines(string(shown)) {
			fmt.Fprintf(b, "  | %s\n", strings.TrimRight(line, "\r\n"))
		}
		if more := len(is.Body) - len(shown); more > 0 {
			fmt.Fprintf(b, "  and %d more bytes\n", more)
		}
	}
	if was.Trailers != nil || is.Trailers != nil {
		b.WriteString("  trailers\n")
		writeHeaders(b, was.Trailers, is.Trailers)
	}
}

func writeHeaders(b *strings.Builder, was, is *proxywasm.Headers) {
	left := map[proxywasm.Field]int{}
	if was != nil {
		for f := range was.All() {
			left[f]++
		}
	}
	if is != nil {
		for f := range is.All() {
			mark := " "
			if left[f]--; left[f] < 0 {
				mark = "+"
			}
			fmt.Fprintf(b, "%s %s: %s\n", mark, f.Name, f.Value)
		}
	}
	if was != nil {
		for f := range was.All() {
			if left[f] > 0 {
				left[f]--
				fmt.Fprintf(b, "- %s: %s\n", f.Name, f.Value)
			}
		}
	}
}
