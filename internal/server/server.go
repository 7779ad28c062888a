// Package server is what hako up runs: it makes of a configuration the store
// of databases, the apps and the gateway before them, and keeps them in step
// when the configuration is loaded anew.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/gateway"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// Options are what a Server needs beside its configuration.
type Options struct {
	Data      string       // where everything is kept
	Log       *slog.Logger // nil: slog.Default
	AccessLog io.Writer
	// Pull fetches an image that the store of images lacks; without it, one
	// that lacks is an error. Plugin says that it is one of a filter
	// ([image.PullOptions]).
	Pull func(ctx context.Context, s *image.Store, ref string, plugin bool) error
}

// A Server is a whole that serves. It is made by Start and must be closed.
type Server struct {
	o      Options
	log    *slog.Logger
	store  *pagestore.Store
	runner *app.Runner
	images *image.Store
	gate   *gateway.Gateway

	filters *filters
	journal *app.Journal
	metrics *prometheus.Registry

	reload sync.Mutex // held by Start, Reload and Close
	closed bool       // guarded by reload

	mu     sync.Mutex
	next   *config.Config // that apps are made from
	hosted map[string][]*hosted
	ctx    context.Context // of the Start or Reload that makes them
}

// Start makes everything that the configuration names: databases that do not
// exist, apps, listeners. What cannot work fails here.
func Start(ctx context.Context, c *config.Config, o Options) (s *Server, err error) {
	s = &Server{o: o, log: o.Log, hosted: map[string][]*hosted{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.journal = app.NewJournal(0)
	s.log = slog.New(slog.NewMultiHandler(s.log.Handler(), s.journal.Handler()))
	s.metrics = s.newMetrics()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	s.store, err = pagestore.Open(filepath.Join(o.Data, "store"), pagestore.Options{Logger: s.log})
	if err != nil {
		return s, err
	}
	if err := s.databases(ctx, c); err != nil {
		return s, err
	}
	s.runner, err = app.NewRunner(filepath.Join(o.Data, "compiled"), vfscore.New(s.store, vfscore.Options{}))
	if err != nil {
		return s, err
	}
	s.images = image.OpenStore(filepath.Join(o.Data, "images"), image.Options{})
	s.reload.Lock()
	defer s.reload.Unlock()
	s.asks(ctx, c)
	s.filters = newFilters(s)
	s.gate, err = gateway.New(c, gateway.Options{
		Apps: s.app, Filters: s.filters.route, StreamFilters: s.filters.stream, Data: o.Data, Logger: s.log, AccessLog: o.AccessLog, AccessTap: s.journal.Access, Metrics: s.metrics, Ready: s.store.ReadOnly,
	})
	if err != nil {
		return s, err
	}
	return s, s.retain(c)
}

// Run serves until ctx is done, and then until running requests have ended.
func (s *Server) Run(ctx context.Context) error { return s.gate.Run(ctx) }

// Addresses returns where the server listens.
func (s *Server) Addresses() []string { return s.gate.Addresses() }

// Store returns the store of databases.
func (s *Server) Store() *pagestore.Store { return s.store }

// Usage returns what the apps use now, and have used since they started.
func (s *Server) Usage() (u app.Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.hosted {
		for _, h := range list {
			one := h.service.Usage()
			u.CPU += one.CPU
			u.Memory += one.Memory
			u.Output += one.Output
		}
	}
	return u
}

// Reload puts another configuration in force. If it cannot be, the old one
// stays and the error says why; databases that it names may have been made by
// then. The data directory stays what it is.
func (s *Server) Reload(ctx context.Context, c *config.Config) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	if s.closed {
		return ErrClosed
	}
	if err := s.databases(ctx, c); err != nil {
		return err
	}
	s.asks(ctx, c)
	if err := s.gate.Reload(c); err != nil {
		return err
	}
	return s.retain(c)
}

// ErrClosed is returned by a server that was closed.
var ErrClosed = errors.New("the server is closed")

// asks sets the configuration that apps are made from.
func (s *Server) asks(ctx context.Context, c *config.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.next = ctx, c
}

// Close ends everything, after a reload that is under way.
func (s *Server) Close() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.gate != nil {
		errs = append(errs, s.gate.Close())
	}
	if s.filters != nil {
		errs = append(errs, s.filters.close())
	}
	s.mu.Lock()
	var left []*hosted
	for _, list := range s.hosted {
		left = append(left, list...)
	}
	s.hosted = nil
	s.mu.Unlock()
	for _, h := range left {
		errs = append(errs, h.close())
	}
	if s.runner != nil {
		errs = append(errs, s.runner.Close())
	}
	if s.store != nil {
		errs = append(errs, sqlite.Detach(s.store), s.store.Close())
	}
	return errors.Join(errs...)
}

// databases makes those that do not exist yet.
func (s *Server) databases(ctx context.Context, c *config.Config) error {
	for _, d := range c.Databases {
		_, err := s.store.Database(d.Name)
		switch {
		case errors.Is(err, pagestore.ErrUnknownDatabase) && d.Import != "":
			s.log.Info("importing database", "name", d.Name, "file", d.Import)
			_, err = sqlite.Import(ctx, s.store, d.Name, string(d.Import), sqlite.ImportOptions{Retain: d.Retain.Retention})
		case errors.Is(err, pagestore.ErrUnknownDatabase):
			_, err = s.store.Create(d.Name, pagestore.CreateOptions{PageSize: 4096, Retain: d.Retain.Retention})
		}
		if err != nil {
			return fmt.Errorf("database %s: %w", d.Name, err)
		}
	}
	return nil
}

// retain sets what history is kept: last, for a configuration that is refused
// must not let any go.
func (s *Server) retain(c *config.Config) error {
	for _, d := range c.Databases {
		existing, err := s.store.Database(d.Name)
		if err == nil {
			err = existing.SetRetention(d.Retain.Retention)
		}
		if err != nil {
			return fmt.Errorf("retention of database %s: %w", d.Name, err)
		}
	}
	return nil
}

// source reads an app's module, from a file or an image. The image, if it is
// one, is to be closed when the app is.
func (s *Server) source(ctx context.Context, m config.Module) (b []byte, img *image.Image, err error) {
	if m.File != "" {
		b, err = os.ReadFile(m.File)
		return b, nil, err
	}
	img, err = s.images.Open(ctx, m.Image)
	var unknown *image.UnknownImageError
	if errors.As(err, &unknown) && s.o.Pull != nil {
		s.log.Info("fetching image", "image", m.Image)
		if err := s.o.Pull(ctx, s.images, m.Image, false); err != nil {
			return nil, nil, err
		}
		img, err = s.images.Open(ctx, m.Image)
	}
	if err != nil {
		return nil, nil, err
	}
	b, err = img.Module(ctx)
	if err != nil {
		img.Close()
		return nil, nil, err
	}
	return b, img, nil
}
