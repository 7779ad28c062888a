package gateway

import (
	"net/http"
	"strings"

	"github.com/hako-run/hako/config"
)

// redirect sends clients elsewhere.
type redirect struct{ config *config.Redirect }

func (d *redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := exchangeOf(r.Context())
	query := ""
	if r.URL.RawQuery != "" {
		query = "?" + r.URL.RawQuery
	}
	// The path begins with one slash whatever the client sent, as //host would
	// be another host in a target without its own.
	path := "/" + strings.TrimLeft(r.URL.EscapedPath(), "/\\")
	to := strings.NewReplacer("{host}", e.host, "{path}", path, "{query}", query).Replace(d.config.To)
	h := w.Header()
	h.Set("Location", to)
	w.WriteHeader(d.config.Status)
}
