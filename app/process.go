package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/wasi"
)

// Exit codes of guests that did not choose one, as shells and docker have
// them.
const (
	ExitNotStarted = 125 // it could not be given what it was granted
	ExitLimit      = 137 // it wanted more than a limit gives
	ExitTimeout    = 124 // its time was up, as timeout(1) has it
	ExitTrap       = 134 // it made a mistake that Wasm does not forgive
	ExitStopped    = 143 // it was stopped
)

// A Process is a guest with what it was granted. It runs a guest to its end
// once, by Run, and others beside it with the same grants, by Exec.
type Process struct {
	runner  *Runner
	module  *engine.Module
	spec    Spec
	grants  *wasi.Grants
	network *wasi.Network

	mu      sync.Mutex
	running map[*engine.Instance]engine.Usage // with what of theirs is in used
	stop    context.CancelCauseFunc           // of Run; nil before
	stopped bool
	closed  bool
	used    engine.Usage // of instances that ended, and of others up to where they were counted
}

// errStopped is why a guest ends that Stop stopped.
var errStopped = errors.New("stopped")

// Run runs the module's _start function and returns the guest's exit code.
// An error says why the guest ended other than by returning or by proc_exit;
// the code is then one of the Exit constants. If ctx is done, its cause is
// returned.
func (p *Process) Run(ctx context.Context, s Streams) (code int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.mu.Lock()
	p.stop = cancel
	if p.stopped {
		cancel(errStopped)
	}
	p.mu.Unlock()
	return p.run(ctx, p.spec.Args, p.spec.Env, s)
}

// Exec runs another instance of the module with the grants of the process.
// Without arguments it gets those of the process.
func (p *Process) Exec(ctx context.Context, x Exec) (int, error) {
	args := p.spec.Args
	if len(x.Args) > 0 {
		args = append(slices.Clip(args[:min(1, len(args))]), x.Args...)
	}
	s := Streams{Stdout: x.Stdout, Stderr: x.Stderr}
	if x.Stdin != nil {
		s.Stdin = x.Stdin
	}
	return p.run(ctx, args, MergeEnv(p.spec.Env, x.Env), s)
}

// Stop ends the guest that Run runs, or will run.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.stop != nil {
		p.stop(errStopped)
	}
}

// Usage returns what the process's guests have used and use now.
func (p *Process) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := Usage{CPU: p.used.CPU, Output: p.used.Output}
	for in, counted := range p.running {
		u := in.Usage()
		total.CPU += u.CPU - counted.CPU
		total.Memory += u.Memory
		total.Output += u.Output - counted.Output
	}
	return total
}

// began makes an instance one of those whose usage is told.
func (p *Process) began(in *engine.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = map[*engine.Instance]engine.Usage{}
	}
	p.running[in] = engine.Usage{}
}

// count adds what an instance has used since it was counted last.
func (p *Process) count(in *engine.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	counted, ok := p.running[in]
	if !ok {
		return
	}
	u := in.Usage()
	p.used.CPU += u.CPU - counted.CPU
	p.used.Output += u.Output - counted.Output
	p.running[in] = u
}

// ended counts an instance for the last time, which is about to be closed.
func (p *Process) ended(in *engine.Instance) {
	p.count(in)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, in)
}

// instances returns how many there are.
func (p *Process) instances() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.running)
}

// Ports returns the published ports as they were bound.
func (p *Process) Ports() []PortInfo {
	var ports []PortInfo
	for _, port := range p.spec.Ports {
		if host, ok := p.grants.Addr(port.Network, port.Guest); ok {
			ports = append(ports, PortInfo{Host: host, Guest: port.Guest, Network: port.Network})
		}
	}
	return ports
}

// Close lets go of directories and ports. Guests are to have ended.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.grants.Close()
}

func (p *Process) run(ctx context.Context, args, env []string, s Streams) (code int, err error) {
	if !slices.ContainsFunc(p.module.Exports(), func(e engine.Export) bool { return e.Name == "_start" }) {
		return ExitNotStarted, fmt.Errorf("module %s has no function _start: it is a library, or a worker that answers requests, and no program to run", p.module.Name())
	}
	in, _, err := p.instance(ctx, args, env, s, nil)
	if err != nil {
		code, err := p.outcome(ctx, err)
		if code == 1 {
			code = ExitNotStarted
		}
		return code, err
	}
	p.began(in)
	err = in.Run(ctx)
	p.ended(in)
	code, err = p.outcome(ctx, err)
	return code, errors.Join(err, in.Close())
}

// outcome makes an exit code of what a guest ended with.
func (p *Process) outcome(ctx context.Context, err error) (int, error) {
	var exit *wasi.ExitError
	var limit *engine.LimitError
	var trap *engine.TrapError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return int(exit.Code & 0xff), nil
	case errors.As(err, &limit):
		if limit.Limit == wasi.LimitCPU || limit.Limit == wasi.LimitWall {
			return ExitTimeout, err
		}
		return ExitLimit, err
	case ctx.Err() != nil:
		return ExitStopped, fmt.Errorf("the guest was ended: %w", context.Cause(ctx))
	case errors.As(err, &trap):
		return ExitTrap, err
	}
	return 1, err
}

// Plain hides from a guest that a stream is a terminal.
func Plain(w io.Writer) io.Writer {
	if _, ok := w.(*os.File); ok {
		return struct{ io.Writer }{w}
	}
	return w
}
