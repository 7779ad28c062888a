package cli

import (
	"context"

	"github.com/hako-run/hako/engine"
)

// compile compiles a program or plugin, and shows that it takes time where it does: what
// is compiled is kept for the next time.
func (a *app) compile(ctx context.Context, e *engine.Engine, name string, module []byte) (*engine.Module, error) {
	if !e.Cached(module) {
		progress := a.progress("compiling", name+", once", false)
		defer progress.end()
	}
	return e.Compile(ctx, name, module)
}
