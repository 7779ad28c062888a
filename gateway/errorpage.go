package gateway

import (
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// errorPages are the pages of server.error_pages by status.
type errorPages map[int][]byte

// maxErrorPage bounds a page, as they are all held in memory.
const maxErrorPage = 1 << 20

func readErrorPages(dir string) (errorPages, error) {
	if dir == "" {
		return nil, nil
	}
	pages := errorPages{}
	for status := 400; status < 600; status++ {
		name := filepath.Join(dir, strconv.Itoa(status)+".html")
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read an error page: %w", err)
		}
		if len(text) > maxErrorPage {
			return nil, fmt.Errorf("error page %s has %d bytes, at most %d are allowed", name, len(text), maxErrorPage)
		}
		pages[status] = text
	}
	return pages, nil
}

// fail answers with an error of the gateway's own. The client reads the
// status; err goes to the log.
func (e *exchange) fail(status int, err error) {
	e.err = err
	if e.begun {
		e.aborted = true
		panic(http.ErrAbortHandler)
	}
	out := e.out()
	h := out.Header()
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
		delete(h, name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	text := http.StatusText(status)
	var page []byte
	switch custom := e.state.errors[status]; {
	case acceptsJSON(e.request):
		h.Set("Content-Type", "application/problem+json")
		page = fmt.Appendf(nil, "{\"status\":%d,\"title\":%q}\n", status, text)
	case custom != nil:
		h.Set("Content-Type", "text/html; charset=utf-8")
		page = custom
	default:
		h.Set("Content-Type", "text/html; charset=utf-8")
		title := html.EscapeString(strconv.Itoa(status) + " " + text)
		page = []byte("<!doctype html>\n<title>" + title + "</title>\n<h1>" + title + "</h1>\n")
	}
	h.Set("Content-Length", strconv.Itoa(len(page)))
	out.WriteHeader(status)
	if e.request.Method != http.MethodHead {
		_, _ = out.Write(page)
	}
}
