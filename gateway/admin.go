package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hako-run/hako/config"
)

// admin is what server.metrics serves.
type admin struct {
	config   config.Listen
	listener net.Listener
	server   *http.Server
	gateway  *Gateway
	tasks    sync.WaitGroup
}

// openAdmin returns the one in force where its address stays.
func (g *Gateway) openAdmin(c *config.Config) (*admin, error) {
	want := c.Server.Metrics
	if want == nil {
		return nil, nil
	}
	if g.admin != nil && g.admin.config == *want {
		return g.admin, nil
	}
	sockets, err := g.listen(*want)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if len(sockets) != 1 {
		for _, s := range sockets {
			_ = s.Close()
		}
		return nil, fmt.Errorf("metrics: %s is more than one socket", want)
	}
	a := &admin{config: *want, listener: sockets[0], gateway: g}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.options.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	a.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	return a, nil
}

func (a *admin) start() {
	a.tasks.Go(func() {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.gateway.log.Error("metrics are served no more", "error", err)
		}
	})
}

func (a *admin) close() {
	_ = a.listener.Close()
	_ = a.server.Close()
	a.tasks.Wait()
}
