package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/engine"
)

// prepare makes the template, or the first session, so that what is wrong
// with the app shows at once.
func (s *Service) prepare(ctx context.Context) (err error) {
	if s.c.Protocol == ProtocolCGI {
		return nil
	}
	if !s.c.Session {
		s.own, err = s.template(ctx)
		return err
	}
	i, err := s.warmed(ctx)
	if err != nil {
		return err
	}
	i.counted = i.in.Usage()
	s.process.count(i.in)
	s.idle = append(s.idle, i)
	return nil
}

// template makes a template of an instance that was warmed up.
func (s *Service) template(ctx context.Context) (*engine.Template, error) {
	i, err := s.warmed(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.freezing(ctx, i.in); err != nil {
		s.discard(i)
		return nil, err
	}
	s.process.ended(i.in)
	t, err := i.in.Freeze(engine.TemplateConfig{Ready: min(s.c.Instances, 4), Keep: s.c.Instances})
	if err = errors.Join(err, i.in.Close()); err != nil {
		if t != nil {
			t.Close()
		}
		return nil, fmt.Errorf("freeze the instance for forks: %w", err)
	}
	// What compiling and warming up have left is several times what requests
	// leave, and would stay until as much as that has come together again.
	debug.FreeOSMemory()
	return t, nil
}

// freezingHook is the function of a guest that is called before it is frozen.
const freezingHook = "hako_freezing"

// freezing lets the guest tidy its memory, which forks begin with.
func (s *Service) freezing(ctx context.Context, in *engine.Instance) error {
	if !in.HasFunction(freezingHook) {
		return nil
	}
	if err := in.Renew(s.c.Spec.Limits); err != nil {
		return err
	}
	if _, err := in.Call(ctx, freezingHook); err != nil {
		return fmt.Errorf("ready the instance for forks: %w", err)
	}
	return nil
}

// warmed makes an instance that has answered the warm-up requests.
func (s *Service) warmed(ctx context.Context) (*session, error) {
	i, err := s.instance(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	in := i.in
	if !in.HasFunction(worker.Export) {
		s.discard(i)
		return nil, fmt.Errorf("the module does not export %s: it is no worker; protocol %q runs commands", worker.Export, ProtocolCGI)
	}
	for _, path := range s.c.Warm {
		err := in.Renew(s.c.Spec.Limits)
		if err == nil {
			err = s.warm(ctx, in, path)
		}
		if err != nil {
			s.discard(i)
			return nil, fmt.Errorf("warm up with %s: %w", path, err)
		}
	}
	return i, nil
}

// instance makes an instance, a fork if there is a template.
func (s *Service) instance(ctx context.Context, t *engine.Template, pin *Pin) (*session, error) {
	streams := Streams{Stdout: &lineLog{log: s.c.Log, level: slog.LevelInfo, stream: "stdout"}, Stderr: &lineLog{log: s.c.Log, level: slog.LevelError, stream: "stderr"}}
	config, db, err := s.process.config(s.c.Spec.Args, s.c.Spec.Env, streams, pin)
	if err != nil {
		return nil, err
	}
	if t != nil {
		in, err := t.Fork(ctx, config)
		if err != nil {
			return nil, err
		}
		s.process.began(in)
		return &session{in: in, db: db, pinned: pin != nil}, nil
	}
	in, err := s.process.module.Instantiate(ctx, config)
	if err != nil {
		return nil, err
	}
	if in.HasFunction("_initialize") {
		if err := in.Run(ctx); err != nil {
			in.Close()
			return nil, err
		}
	}
	s.process.began(in)
	return &session{in: in, db: db, pinned: pin != nil}, nil
}

// discard ends an instance.
func (s *Service) discard(i *session) error {
	s.process.ended(i.in)
	return i.in.Close()
}

// warmID is the ID of warm-up requests, as logs and the app see it. Clients that
// are not trusted cannot choose theirs.
const warmID = "hako-warm-up"

// warm makes a request of an instance; what it answers matters little, but it
// must answer.
func (s *Service) warm(ctx context.Context, in *engine.Instance, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(path, "/") {
		return errors.New("a path begins with /")
	}
	r.RequestURI, r.RemoteAddr, r.Host = path, "127.0.0.1:0", "localhost"
	r.Header.Set("X-Request-Id", warmID)
	w := &warmWriter{header: http.Header{}}
	x := worker.NewExchange(w, r)
	x.ID, x.Log, x.Output = warmID, s.log, s.c.Spec.Limits.Output
	err = s.call(ctx, in, x)
	x.Abandon()
	switch {
	case err != nil:
		return err
	case w.status == 0:
		return errSilent
	case w.status >= 500:
		return fmt.Errorf("the app answers %d", w.status)
	case w.status >= 400:
		s.c.Log.Info("a warm-up request found nothing to warm", "path", path, "status", w.status)
	}
	return nil
}

// A warmWriter drops a response but for its status.
type warmWriter struct {
	header http.Header
	status int
}

func (w *warmWriter) Header() http.Header         { return w.header }
func (w *warmWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *warmWriter) WriteHeader(status int) {
	if status >= 200 {
		w.status = status
	}
}
