package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

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
	out := &cgiWriter{w: w, r: r}
	errs := &lineLog{log: s.c.Log, level: 8}
	env := append(cgiEnv(r, c), s.c.Spec.Env...)
	args := s.c.Spec.Args
	if query := r.URL.RawQuery; query != "" && !strings.Contains(query, "=") {
		// An indexed query, in section 4.4: words for the command line. Not
		// for those that would be taken for flags.
		if !strings.HasPrefix(query, "-") {
			args = append(args[:len(args):len(args)], strings.Split(query, "+")...)
		}
	}
	in, err := s.process.instance(r.Context(), args, env, Streams{Stdin: r.Body, Stdout: out, Stderr: errs})
	if err == nil {
		err = in.Run(r.Context())
		u := in.Usage()
		s.process.add(u)
		rec.CPU, rec.Memory = u.CPU, u.MemoryPeak
		if e := in.Close(); err == nil {
			err = e
		}
	}
	var exit *wasi.ExitError
	if errors.As(err, &exit) && exit.Code == 0 {
		err = nil
	}
	switch {
	case err == nil && out.err != nil:
		err = out.err
	case err == nil && !out.begun:
		err = errCGIHead
	case exit != nil && err != nil && out.begun:
		// It answered, then ended with a code: the answer stands.
		s.c.Log.Warn("app ended with an exit code", "app", s.c.Name, "path", r.URL.Path, "code", exit.Code)
		err = nil
	}
	if err != nil {
		s.fail(w, r, rec, err, out.status())
	}
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

// A cgiWriter reads the header that a guest writes first and passes the rest
// on as it comes.
type cgiWriter struct {
	w     http.ResponseWriter
	r     *http.Request
	head  []byte
	begun bool // the header is complete
	code  int
	err   error
}

func (c *cgiWriter) status() int { return c.code }

func (c *cgiWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.begun {
		n, err := c.w.Write(p)
		if errors.Is(err, http.ErrBodyNotAllowed) {
			return len(p), nil
		}
		c.err = err
		return n, err
	}
	c.head = append(c.head, p...)
	end, rest := headEnd(c.head)
	if end < 0 {
		if len(c.head) > maxCGIHead {
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
	if len(body) > 0 {
		if _, err := c.Write(body); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// headEnd returns where the header ends, its last line's end included, and
// where the body begins; -1 while it has not ended.
func headEnd(b []byte) (end, rest int) {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1, 0
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
		code = http.StatusFound
	} else if fields.Get("Content-Type") == "" {
		return fmt.Errorf("%w: there is none of Content-Type, Location and Status", errCGIHead)
	}
	if strings.HasPrefix(location, "/") && fields.Get("Status") == "" {
		// A local redirect, in section 6.2.2, may be sent to the client.
		code = http.StatusFound
	}
	h := c.w.Header()
	for name, values := range fields {
		switch name {
		case "Status", "Connection", "Keep-Alive", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Proxy-Connection":
			continue
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("%w: header %.40q", errCGIHead, name)
			}
			h.Add(name, v)
		}
	}
	c.begun, c.code = true, code
	c.w.WriteHeader(code)
	return nil
}
