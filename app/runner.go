package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/tty"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/hako-run/hako/wasi"
)

// Streams are a guest's standard streams. A nil one is empty, or swallows what
// is written.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// A Spec says what a guest is given. The zero value gives it nothing.
type Spec struct {
	Args      []string // argv, the program's name first
	Env       []string // NAME=VALUE
	Root      string   // directory that the guest sees as /, read-only; "" for none
	Dirs      []DirGrant
	Tmp       []wasi.Tmp // directories in memory
	Devices   bool       // /dev/null, /dev/urandom and the like
	Ports     []PortGrant
	Databases []DatabaseGrant
	Network   []string // addresses that the guest may connect to, as wasi.ParseNetwork reads them
	Limits    engine.Limits
}

// A Runner starts processes. It is safe for concurrent use.
type Runner struct {
	engine *engine.Engine
	vfs    *vfscore.VFS  // nil if there is no store
	pool   *sqlhost.Pool // of connections for guests whose SQL runs here; nil likewise
}

// NewRunner returns a runner with an engine of its own that keeps compiled
// code in the directory cache, "" for nowhere. Guests are given databases
// through vfs, which may be nil if none is granted; they may run SQL in their
// own memory or in this process.
func NewRunner(cache string, vfs *vfscore.VFS) (*Runner, error) {
	if cache != "" {
		// Who can write machine code there can run it as this user.
		if err := os.MkdirAll(cache, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder for compiled modules: %w", err)
		}
	}
	e, err := engine.New(engine.Options{CacheDir: cache, Hosts: Hosts, Imports: wasi.WithImports})
	if err != nil {
		return nil, err
	}
	r := &Runner{engine: e, vfs: vfs}
	if vfs != nil {
		r.pool = sqlhost.NewPool(vfs.Store(), sqlhost.Options{})
	}
	return r, nil
}

// Close closes the engine. Processes are to be closed before.
func (r *Runner) Close() error {
	err := r.engine.Close()
	if r.pool != nil {
		err = errors.Join(err, r.pool.Close())
	}
	return err
}

// Engine returns the runner's engine.
func (r *Runner) Engine() *engine.Engine { return r.engine }

// checkDatabases says what is wrong with granted databases before a guest
// runs, which would only see that it cannot open them.
func (r *Runner) checkDatabases(grants []DatabaseGrant) error {
	if len(grants) > 0 && r.vfs == nil {
		return errors.New("databases are granted, but there is no store")
	}
	for _, g := range grants {
		ref, err := pagestore.ParseRef(g.Snapshot)
		if err != nil {
			return fmt.Errorf("grant database %s: %w", g.Snapshot, err)
		}
		s, err := r.vfs.Store().Snapshot(ref)
		if err != nil {
			return fmt.Errorf("grant database %s: %w", g.Snapshot, err)
		}
		s.Close()
	}
	return nil
}

// Start makes a process of a module. It has what the spec grants from here
// on: directories are open and ports bound; the guest runs in Process.Run.
func (r *Runner) Start(ctx context.Context, m *engine.Module, spec Spec) (*Process, error) {
	if err := r.checkDatabases(spec.Databases); err != nil {
		return nil, err
	}
	config := wasi.GrantConfig{}
	if spec.Root != "" {
		config.Dirs = append(config.Dirs, wasi.DirGrant{Host: spec.Root, Guest: "/", ReadOnly: true})
	}
	for _, d := range spec.Dirs {
		config.Dirs = append(config.Dirs, wasi.DirGrant{Host: d.Host, Guest: d.Guest, ReadOnly: d.ReadOnly})
	}
	config.Mounts = spec.roots()
	published := map[string]bool{}
	for _, p := range spec.Ports {
		guest := fmt.Sprintf("%d/%s", p.Guest, p.Network)
		if published[guest] {
			return nil, fmt.Errorf("publish port %s of the guest: it is published twice", guest)
		}
		published[guest] = true
		config.Listeners = append(config.Listeners, wasi.Listener{
			Guest: p.Guest, Host: p.Host, Network: p.Network, Preopened: p.Network == "tcp",
		})
	}
	network, err := wasi.ParseNetwork(spec.Network, nil)
	if err != nil {
		return nil, err
	}
	grants, err := wasi.OpenGrants(config)
	if err != nil {
		return nil, err
	}
	return &Process{runner: r, module: m, spec: spec, grants: grants, network: network}, nil
}

// config makes what an instance is given, with the snapshots of pin, which may
// be nil. The databases are nil if there is no store.
func (p *Process) config(args, env []string, s Streams, pin *Pin) (config engine.Config, db *databases, err error) {
	system, err := wasi.NewSystem(wasi.Config{
		Args: args, Env: env,
		Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		Grants: p.grants, Tmp: p.spec.Tmp, Devices: p.spec.Devices, Network: p.network,
		CPUTime:   engine.CPUTime,
		OpenFiles: p.spec.Limits.Files, Output: p.spec.Limits.Output,
	})
	if err != nil {
		return engine.Config{}, nil, err
	}
	terminals := tty.New(s.Stdin, s.Stdout, s.Stderr)
	config = engine.Config{
		Limits: p.spec.Limits,
		Values: tty.NewContext(wasi.NewContext(context.Background(), system), terminals),
		States: []io.Closer{system, terminals},
	}
	for _, w := range []io.Writer{s.Stdout, s.Stderr} {
		if c, ok := w.(*lineLog); ok {
			config.States = append(config.States, c)
		}
	}
	if db, err = p.databases(&config, pin); err != nil {
		return engine.Config{}, nil, errors.Join(err, closeStates(config))
	}
	return config, db, nil
}
