package cli

import (
	"context"

	"github.com/hako-run/hako/engine"
)

// compile compiles a program, and shows that it takes time where it does: what
// is compiled is kept for the next time.
func (a *app) compile(ctx context.Context, e *engine.Engine, p *program) (*engine.Module, error) {
	if !e.Cached(p.module) {
		progress := a.progress("compiling", p.name+", once", false)
		defer progress.end()
	}
	return e.Compile(ctx, p.name, p.module)
}
