package cli

import (
	"fmt"
	"io"

	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/offline"
)

// runJSON is what hako plugin run tells programs.
type runJSON struct {
	Events        []eventJSON  `json:"events"`
	Upstream      *messageJSON `json:"upstream"` // null if the upstream gets nothing
	Client        *messageJSON `json:"client"`
	Local         string       `json:"local"` // "request" or "response" if the plugin answered
	LocalDetails  string       `json:"local_details,omitempty"`
	Reset         bool         `json:"reset"`
	RoutesCleared int          `json:"routes_cleared"`
	Crashed       bool         `json:"crashed"`
	Metrics       []metricJSON `json:"metrics"`
	Error         string       `json:"error,omitempty"`
}

type eventJSON struct {
	*proxywasm.Event
	Text string `json:"text"`
}

type messageJSON struct {
	Headers  [][2]string `json:"headers"`
	Body     []byte      `json:"body"`
	Trailers [][2]string `json:"trailers,omitempty"`
}

type metricJSON struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value int64  `json:"value"` // of a histogram, the sum
}

func runJSONOf(r *offline.Result, failure error) runJSON {
	v := runJSON{
		Events: []eventJSON{}, Upstream: messageJSONOf(r.Upstream), Client: messageJSONOf(r.Client),
		Local: r.Local, LocalDetails: r.LocalDetails, Reset: r.Reset, RoutesCleared: r.RoutesCleared, Crashed: r.Crashed,
		Metrics: []metricJSON{},
	}
	for _, e := range r.Events {
		v.Events = append(v.Events, eventJSON{e, offline.Describe(e)})
	}
	for _, m := range r.Metrics {
		v.Metrics = append(v.Metrics, metricJSON{m.Type.String(), m.Name, int64(m.Value())})
	}
	if failure != nil {
		v.Error = failure.Error()
	}
	return v
}

func messageJSONOf(m *offline.Message) *messageJSON {
	if m == nil {
		return nil
	}
	return &messageJSON{Headers: headersJSON(m.Headers), Body: m.Body, Trailers: headersJSON(m.Trailers)}
}

func headersJSON(h *proxywasm.Headers) [][2]string {
	if h == nil {
		return nil
	}
	list := make([][2]string, 0, h.Len())
	for f := range h.All() {
		list = append(list, [2]string{f.Name, f.Value})
	}
	return list
}

// readLimited reads all, of at most limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return b, err
}
