package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/wasi"
	"golang.org/x/net/http/httpguts"
)

// maxCGIHead bounds the header of a CGI response, in bytes.
const maxCGIHead = 64 << 10

var errCGIHead = errors.New("the guest's output does not begin with CGI headers and an empty line")

// serveCGI runs the module as a command that gets the request by CGI/1.1
// (RFC 3875), with the variables that WAGI adds.
func (s *Service) serveCGI(w http.ResponseWriter, r *http.Request, c Call, rec *Record) {
	rec.Forked = true
	env := MergeEnv(cgiEnv(r, c), s.c.Spec.Env) // a header is not to replace what the app is given
	args := s.c.Spec.Args
	args = append(args[:len(args):len(args)], queryWords(r)...)
	for _, text := range slices.Concat(env, args) {
		if strings.IndexByte(text, 0) >= 0 {
			http.Error(w, "The request has a zero byte.", http.StatusBadRequest)
			return
		}
	}
	// The guest may write before it has read all; without this, net/http
	// would swallow the rest of the body first.
	_ = http.NewResponseController(w).EnableFullDuplex()
	// Two, for the engine itself ends waits for input, which does not have to
	// harm the connection.
	in, out := worker.NewClient(w), &cgiWriter{w: w, client: worker.NewClient(w)}
	end := func() {
		in.End()
		out.close()
	}
	defer end()
	errs := &lineLog{log: s.c.Log, level: slog.LevelError, stream: "stderr"}
	guest, db, err := s.process.instance(r.Context(), args, env, Streams{Stdin: &cgiBody{r.Body, in}, Stdout: out, Stderr: errs}, c.Pin)
	if err == nil {
		out.tell = db.tell
		if wall := s.c.Spec.Limits.Wall; wall > 0 {
			// A client that is slow to read would hold the guest for longer.
			defer time.AfterFunc(wall, out.client.Interrupt).Stop()
		}
		s.process.began(guest)
		err = guest.Run(r.Context())
		u := guest.Usage()
		s.process.ended(guest)
		if e := guest.Close(); err == nil {
			err = e
		}
		rec.CPU, rec.Memory, rec.Versions = u.CPU, u.MemoryPeak, db.versions()
	}
	out.close() // what it noted is ours from here on
	var exit *wasi.ExitError
	if errors.As(err, &exit) && exit.Code == 0 {
		err = nil
	}
	switch {
	case err == nil && out.err != nil:
		err = out.err
	case err == nil && !out.begun:
		err = errCGIHead
	case exit != nil && err != nil && out.begun && out.err == nil:
		// It answered, then ended with a code: the answer stands.
		s.c.Log.Warn("app ended with an exit code", "app", s.c.Name, "path", r.URL.Path, "code", exit.Code)
		err = nil
	}
	if err != nil {
		end()
		s.fail(w, r, rec, err, out.code)
	}
}

// queryWords are the words for the command line of an indexed query
// (section 4.4), unless one would be taken for a flag.
func queryWords(r *http.Request) []string {
	query := r.URL.RawQuery
	if query == "" || strings.Contains(query, "=") || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	words := strings.Split(query, "+")
	for i, word := range words {
		var err error
		if words[i], err = url.QueryUnescape(word); err != nil || strings.HasPrefix(words[i], "-") {
			return nil
		}
	}
	return words
}

// A cgiBody reads the request's body for a guest, in a goroutine that the
// guest may leave behind.
type cgiBody struct {
	body   io.Reader
	client *worker.Client
}

func (b *cgiBody) Read(p []byte) (n int, err error) {
	if late := b.client.Reading(func() { n, err = b.body.Read(p) }); late != nil {
		return 0, late
	}
	return n, err
}

// cgiEnv is the request as variables.
func cgiEnv(r *http.Request, c Call) []string {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
		if r.TLS != nil {
			port = "443"
		}
	}
	remote, remotePort, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr
	}
	info := r.URL.Path
	scheme := c.Scheme
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	env := []string{
		"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=Hako", "SERVER_PROTOCOL=" + r.Proto,
		"REQUEST_METHOD=" + r.Method, "QUERY_STRING=" + r.URL.RawQuery, "REQUEST_URI=" + r.RequestURI,
		"SCRIPT_NAME=" + c.Prefix, "PATH_INFO=" + info, "PATH_TRANSLATED=" + info,
		"SERVER_NAME=" + host, "SERVER_PORT=" + port,
		"REMOTE_ADDR=" + remote, "REMOTE_HOST=" + remote, "REMOTE_PORT=" + remotePort,
		"X_MATCHED_ROUTE=" + c.Prefix + "/...", "X_RAW_PATH_INFO=" + r.URL.EscapedPath(), "HTTP_HOST=" + r.Host,
	}
	if c.ID != "" {
		env = append(env, "HTTP_X_REQUEST_ID="+c.ID)
	}
	if scheme == "https" {
		env = append(env, "HTTPS=on")
	}
	env = append(env, "X_FULL_URL="+scheme+"://"+r.Host+r.RequestURI)
	if r.ContentLength > 0 {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, "CONTENT_TYPE="+t)
	}
	for name, values := range r.Header {
		// Proxy would become HTTP_PROXY, which programs take for their own
		// setting (CVE-2016-5385). A dash and an underscore look alike, so
		// that what a proxy before us checked could be overwritten.
		if name == "Proxy" || name == "Content-Type" || name == "Content-Length" || strings.Contains(name, "_") {
			continue
		}
		if name == "X-Request-Id" && c.ID != "" {
			continue
		}
		separator := ", "
		if name == "Cookie" {
			separator = "; "
		}
		value := strings.Join(values, separator)
		if strings.IndexByte(value, 0) >= 0 {
			continue
		}
		env = append(env, "HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
	}
	return env
}

// cgiFlush is how long a part of a response may be held back. A program has
// no way to say that it wants to be heard, and most write in small pieces.
const cgiFlush = 10 * time.Millisecond

// A cgiWriter reads the header that a guest writes first and passes the rest
// on as it comes. A timer flushes what the guest does not follow up.
type cgiWriter struct {
	w      http.ResponseWriter
	client *worker.Client
	tell   func(http.Header) // adds to the header

	mu     sync.Mutex
	head   []byte
	line   int  // where the last line of head begins
	begun  bool // the header is complete
	code   int  // the status that was sent, 0 before
	events bool // each part is flushed at once
	held   bool // something is to be flushed
	timer  *time.Timer
	closed bool
	err    error
}

func (c *cgiWriter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.write(p)
	switch {
	case err != nil || !c.begun || c.held:
	case c.events:
		c.flush()
	case c.timer == nil:
		c.held = true
		c.timer = time.AfterFunc(cgiFlush, c.late)
	default:
		c.held = true
		c.timer.Reset(cgiFlush)
	}
	return n, err
}

// late is called by the timer.
func (c *cgiWriter) late() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if !c.closed && c.err == nil {
		c.flush()
	}
}

func (c *cgiWriter) flush() {
	var err error
	if late := c.client.Writing(func() { err = http.NewResponseController(c.w).Flush() }); late != nil {
		err = late
	}
	if !errors.Is(err, http.ErrNotSupported) {
		c.err = err
	}
}

// close ends the access to the response: the handler is about to return.
func (c *cgiWriter) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.client.End()
}

func (c *cgiWriter) write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.begun {
		var n int
		var err error
		if late := c.client.Writing(func() { n, err = c.w.Write(p) }); late != nil {
			err = late
		}
		if errors.Is(err, http.ErrBodyNotAllowed) {
			return len(p), nil
		}
		c.err = err
		return n, err
	}
	// No more is kept of what may be a body.
	took := p[:min(len(p), maxCGIHead-len(c.head))]
	c.head = append(c.head, took...)
	end, rest := headEnd(c.head, c.line)
	if rest == 0 {
		c.line = end
		if len(c.head) == maxCGIHead {
			c.err = errCGIHead
			return 0, c.err
		}
		return len(p), nil
	}
	if c.err = c.begin(c.head[:end]); c.err != nil {
		return 0, c.err
	}
	body := c.head[rest:]
	c.head = nil
	for _, part := range [][]byte{body, p[len(took):]} {
		if len(part) > 0 {
			if _, err := c.write(part); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// headEnd looks from the beginning of a line on for where the header ends, its
// last line's end included, and where the body begins. While it has not ended,
// rest is 0 and end is where the last line begins.
func headEnd(b []byte, line int) (end, rest int) {
	for i := line; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return i, 0
		}
		if line := b[i : i+n]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return i, i + n + 1
		}
		i += n + 1
	}
}

// begin sends the head of the response.
func (c *cgiWriter) begin(head []byte) error {
	fields, err := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n")))).ReadMIMEHeader()
	if err != nil || len(fields) == 0 {
		return errCGIHead
	}
	code := http.StatusOK
	location := fields.Get("Location")
	if text := fields.Get("Status"); text != "" {
		number, _, _ := strings.Cut(text, " ")
		code, err = strconv.Atoi(number)
		if err != nil || code < 200 || code > 599 {
			return fmt.Errorf("%w: status %.40q", errCGIHead, text)
		}
	} else if location != "" {
		// Also a local redirect, in section 6.2.2: the client follows it.
		code = http.StatusFound
	} else if fields.Get("Content-Type") == "" {
		return fmt.Errorf("%w: there is none of Content-Type, Location and Status", errCGIHead)
	}
	for _, name := range [...]string{"Status", "Connection", "Keep-Alive", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Proxy-Connection"} {
		delete(fields, name)
	}
	if length, told := fields["Content-Length"]; told {
		if _, err := strconv.ParseUint(length[0], 10, 63); err != nil || len(length) > 1 {
			return fmt.Errorf("%w: Content-Length", errCGIHead)
		}
	}
	for name, values := range fields {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("%w: header %.40q", errCGIHead, name)
			}
		}
	}
	h := c.w.Header()
	for name, values := range fields {
		h[name] = append(h[name], values...)
	}
	kind, _, _ := strings.Cut(fields.Get("Content-Type"), ";")
	c.events = strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
	if c.tell != nil {
		c.tell(h)
	}
	c.begun, c.code = true, code
	c.w.WriteHeader(code)
	return nil
}
