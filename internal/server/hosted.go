package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/gateway"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/wasi"
)

// hosted is an app that runs. It is kept over a reload that does not change
// it, and ends when no state of the gateway uses it any more.
type hosted struct {
	s       *Server
	c       config.App
	module  *engine.Module
	image   *image.Image // nil for a file
	service *app.Service
	spec    app.Spec          // of the service
	files   *gateway.AppFiles // that need no instance; nil for none
	cron    *schedule         // set before the first request
	users   int               // guarded by Server.mu
}

var (
	_ gateway.App      = (*hosted)(nil)
	_ gateway.Filer    = (*hosted)(nil)
	_ gateway.Releaser = (*hosted)(nil)
)

// app returns the app of a name for the gateway: the one that runs if it
// would be the same, else a new one.
func (s *Server) app(name string) (gateway.App, error) {
	s.mu.Lock()
	ctx, c := s.ctx, s.next.App(name)
	s.mu.Unlock()
	if c == nil {
		return nil, fmt.Errorf("no app is called %s", name)
	}
	b, img, err := s.source(ctx, c.Image)
	if err != nil {
		return nil, fmt.Errorf("app %s: %w", name, err)
	}
	module, err := s.compile(ctx, name, b, func() {
		s.log.Info("compiling an app, which takes a while and is kept for the next time", "app", name)
	})
	if err == nil {
		if h := s.same(c, module); h != nil {
			closeAll(module, img)
			return h, nil
		}
		h := &hosted{s: s, c: *c, module: module, image: img, users: 1}
		if err = h.serve(ctx); err == nil {
			h.cron = newSchedule(h)
			s.mu.Lock()
			s.hosted[name] = append(s.hosted[name], h)
			s.mu.Unlock()
			return h, nil
		}
	}
	closeAll(module, img)
	return nil, fmt.Errorf("app %s: %w", name, err)
}

func closeAll(m *engine.Module, img *image.Image) {
	if m != nil {
		m.Close()
	}
	if img != nil {
		img.Close()
	}
}

// same returns the running app that has the same settings and the same code,
// with one user more; nil if there is none.
func (s *Server) same(c *config.App, m *engine.Module) *hosted {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosted[c.Name] {
		if h.users > 0 && reflect.DeepEqual(h.c, *c) && h.module.Same(m) {
			h.users++
			return h
		}
	}
	return nil
}

// serve starts the app's service.
func (h *hosted) serve(ctx context.Context) (err error) {
	h.spec, err = h.grants(ctx)
	if err != nil {
		return err
	}
	if h.files, err = h.openFiles(); err != nil {
		return err
	}
	defer func() {
		if err != nil && h.files != nil {
			_ = h.files.Close()
		}
	}()
	c := &h.c
	h.service, err = h.s.runner.Serve(ctx, h.module, app.ServiceConfig{
		Name: c.Name, Protocol: c.Protocol, Spec: h.spec,
		Instances: c.Limits.Instances, QueueLength: c.Queue.Length, QueueWait: time.Duration(c.Queue.Wait),
		Warm: c.Template.Warm, Session: c.Template.Fork == "session",
		Log: h.s.log.With("app", c.Name),
	})
	return err
}

// grants returns what the app is given.
func (h *hosted) grants(ctx context.Context) (app.Spec, error) {
	c, img := &h.c, h.image
	spec := app.Spec{Args: append([]string{c.Name}, c.Args...)}
	var env []string
	if img != nil {
		env = img.Config.Env
		root, err := img.Root(ctx)
		if err != nil {
			return spec, err
		}
		if !img.Artifact {
			spec.Root = root
		}
		spec.Args = img.Command(c.Args...)
		spec.Tmp = []wasi.Tmp{{Guest: "/tmp", Size: 64 << 20}}
		spec.Devices = true
	}
	if c.Tmp != nil {
		spec.Tmp = nil
		if *c.Tmp > 0 {
			spec.Tmp = []wasi.Tmp{{Guest: "/tmp", Size: int64(*c.Tmp)}}
		}
	}
	names := make([]string, 0, len(c.Env))
	for name := range c.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, replaced := c.Env[name]
		return replaced
	})
	for _, name := range names {
		env = append(env, name+"="+c.Env[name])
	}
	spec.Env = env
	for _, d := range c.Dirs {
		if d.Guest == "/tmp" {
			spec.Tmp = nil
		}
		spec.Dirs = append(spec.Dirs, app.DirGrant{Host: string(d.Host), Guest: d.Guest, ReadOnly: !d.Write})
	}
	for _, d := range c.Databases {
		g, err := app.ParseDatabase(d.Name)
		if err != nil {
			return spec, err
		}
		if d.Guest != "" {
			g.Guest = d.Guest
		}
		spec.Databases = append(spec.Databases, g)
	}
	for _, a := range c.Network {
		spec.Network = append(spec.Network, string(a))
	}
	spec.Limits = engine.Limits{
		Memory: int64(c.Limits.Memory), CPU: time.Duration(c.Limits.CPU), Wall: time.Duration(c.Limits.Wall), Output: int64(c.Limits.Output),
	}
	return spec, nil
}

// ServeApp implements gateway.App.
func (h *hosted) ServeApp(w http.ResponseWriter, r *http.Request, a *gateway.Account) {
	var rec app.Record
	defer func() {
		a.Queued, a.CPU, a.Memory, a.Forked = rec.Queued, rec.CPU, rec.Memory, rec.Forked
		a.Shed, a.Limit, a.Crashed = rec.Shed, rec.Limit, rec.Crashed
		for _, v := range rec.Versions {
			a.Versions = append(a.Versions, gateway.DatabaseAt(v))
		}
	}()
	call := app.Call{ID: r.Header.Get("X-Request-Id"), Prefix: prefix(r), Scheme: gateway.Scheme(r)}
	if a.Pin != "" {
		pin, err := h.pin(a)
		if err != nil {
			a.Refused = err.Error()
			http.Error(w, a.Refused, app.PinStatus(err))
			return
		}
		defer pin.Close()
		told := a.Pinned // the guest may want to say so
		if a.Replay {
			told = a.Told
		}
		if told != "" {
			r.Header.Set(app.SnapshotHeader, told)
		}
		call.Pin = pin
	}
	h.service.Serve(w, r, call, &rec)
	if w.Header().Get(RenewHeader) != "" {
		h.cron.renew(h)
	}
}

// pin finds the snapshots that a request asks for, and makes the branches that
// a replay works on.
func (h *hosted) pin(a *gateway.Account) (*app.Pin, error) {
	pin, err := h.service.Pin(a.Pin)
	if err != nil {
		return nil, err
	}
	if a.Branch != "" {
		a.Branches, err = pin.Branch(a.Branch, func(name string) bool { return slices.Contains(a.Branched, name) })
		if err != nil {
			pin.Close()
			return nil, err
		}
	}
	a.Pinned = pin.String()
	return pin, nil
}

// prefix returns what the route cut off the path.
func prefix(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	rest := r.URL.EscapedPath()
	if cut, ok := strings.CutSuffix(path, rest); ok {
		return cut
	}
	if cut, ok := strings.CutSuffix(path, strings.TrimPrefix(rest, "/")); ok {
		return strings.TrimSuffix(cut, "/")
	}
	return ""
}

// Release implements gateway.Releaser.
func (h *hosted) Release() {
	h.s.mu.Lock()
	h.users--
	last := h.users == 0
	if last && h.s.hosted != nil {
		h.s.hosted[h.c.Name] = slices.DeleteFunc(h.s.hosted[h.c.Name], func(other *hosted) bool { return other == h })
	}
	h.s.mu.Unlock()
	if last {
		if err := h.close(); err != nil {
			h.s.log.Error("close app", "app", h.c.Name, "error", err)
		}
	}
}

func (h *hosted) close() error {
	h.cron.close()
	err := errors.Join(h.service.Close(), h.module.Close())
	if h.files != nil {
		err = errors.Join(err, h.files.Close())
	}
	if h.image != nil {
		err = errors.Join(err, h.image.Close())
	}
	return err
}
