package gateway

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// minCompress is the least number of bytes worth compressing.
const minCompress = 512

// An encoder compresses a response.
type encoder interface {
	io.WriteCloser
	Flush() error
	release() // gives it back for other responses
}

// compressor is what the three libraries have in common.
type compressor interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

type pooled struct {
	compressor
	pool *sync.Pool
}

func (p *pooled) release() {
	p.Reset(io.Discard)
	p.pool.Put(p)
}

// encodings are what is offered, the one preferred first. The levels are
// those at which a processor compresses faster than most clients read.
var encodings = [...]struct {
	name, extension string
	pool            *sync.Pool
}{
	{"zstd", ".zst", newPool(func() compressor {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("gateway: zstd: " + err.Error())
		}
		return w
	})},
	{"br", ".br", newPool(func() compressor { return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: 4, LGWin: 18}) })},
	{"gzip", ".gz", newPool(func() compressor {
		w, err := gzip.NewWriterLevel(nil, 5)
		if err != nil {
			panic("gateway: gzip: " + err.Error())
		}
		return w
	})},
}

func newPool(make func() compressor) *sync.Pool {
	pool := &sync.Pool{}
	pool.New = func() any { return &pooled{make(), pool} }
	return pool
}

// exchangeWriter lets an encoder write past the exchange's own compression.
type exchangeWriter struct{ e *exchange }

func (w exchangeWriter) Write(p []byte) (int, error) { return w.e.send(p) }

// compress decides whether a response is compressed, and sets its headers so.
// Without a body to compress (HEAD, 304) it returns nil but sets the headers
// as a GET would have them.
func compress(e *exchange, h http.Header, status int) encoder {
	r := e.request
	if len(h["Content-Encoding"]) > 0 || len(h["Content-Range"]) > 0 || status < 200 || status == http.StatusNoContent ||
		status == http.StatusPartialContent || !compressible(h.Get("Content-Type")) && status != http.StatusNotModified {
		return nil
	}
	if length := h.Get("Content-Length"); length != "" {
		if n, err := strconv.ParseInt(length, 10, 64); err != nil || n < minCompress {
			return nil
		}
	}
	if strings.Contains(h.Get("Cache-Control"), "no-transform") {
		return nil
	}
	addVary(h, "Accept-Encoding")
	i := choose(r.Header["Accept-Encoding"])
	if i < 0 {
		return nil
	}
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("Etag", "W/"+tag)
	}
	if status == http.StatusNotModified {
		return nil
	}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	h.Set("Content-Encoding", encodings[i].name)
	if r.Method == http.MethodHead {
		return nil
	}
	p := encodings[i].pool.Get().(*pooled)
	p.Reset(exchangeWriter{e})
	return p
}

// choose returns the index of the preferred encoding that the client takes,
// or -1.
func choose(accept []string) int {
	for i := range encodings {
		if accepts(accept, encodings[i].name) {
			return i
		}
	}
	return -1
}

// accepts reports whether Accept-Encoding names an encoding with a weight
// that is not 0.
func accepts(accept []string, name string) bool {
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			coding, parameters, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), name) {
				continue
			}
			_, weight, ok := strings.Cut(strings.ReplaceAll(parameters, " ", ""), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return !ok || err == nil && q > 0
		}
	}
	return false
}

// compressible reports whether bodies of a content type get smaller.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson",
		"application/manifest+json", "application/vnd.ms-fontobject", "application/x-javascript",
		"font/ttf", "font/otf", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return false
}
