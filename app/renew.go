package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/hako-run/hako/engine"
)

// Renew makes the template anew: a fresh instance is started, warmed up and
// frozen as when the service was made, and requests from then on get forks of
// it. So a guest that keeps compiled scripts or other things in its memory has
// those of the application as it is now. If it fails, the old template stays.
// It does nothing for a service without a template.
//
// Requests are served meanwhile. Calls at the same time make one template
// each; the last one that is done stays.
func (s *Service) Renew(ctx context.Context) error {
	if s.c.Protocol == ProtocolCGI || s.c.Session {
		return nil
	}
	if !s.enter() {
		return fmt.Errorf("make the template of app %s anew: %w", s.c.Name, errClosedService)
	}
	defer s.active.Done()
	fresh, err := s.template(ctx)
	if err != nil {
		return fmt.Errorf("make the template of app %s anew: %w", s.c.Name, err)
	}
	s.mu.Lock()
	old := s.own
	s.own = fresh
	s.mu.Unlock()
	return old.Close() // its forks stay usable
}

var errClosedService = errors.New("the service is closed")

// enter counts a user of the service, unless it is closed.
func (s *Service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.active.Add(1)
	return true
}

// current returns the template to fork.
func (s *Service) current() *engine.Template {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own
}

// fork makes an instance of the current template.
func (s *Service) fork(ctx context.Context, pin *Pin) (*session, error) {
	for {
		t := s.current()
		i, err := s.instance(ctx, t, pin)
		if err == nil || t == s.current() {
			return i, err
		}
		// The template was closed in between: there is another.
	}
}
