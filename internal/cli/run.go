package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/hako-run/hako/wasi"
	"github.com/spf13/cobra"
)

// runFlags are the flags of hako run as they were written.
type runFlags struct {
	interactive, terminal, raw bool
	name                       string
	env, envFiles              []string
	dirs, ports, dbs, network  []string
	tmp                        []string
	memory, output             string
	cpu, timeout               time.Duration
	files                      int
	entrypoint, workdir, pull  string
	insecure, remove           bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [FLAGS] IMAGE|FILE.wasm [ARGS...]",
		Short: "Run a Wasm module, from an image or a file, with what is granted and no more",
		Long: `Run a Wasm module, from an image or a file. The guest sees no variable, file,
address or database but what is granted here. Flags come before the image; what
follows it is the guest's.

The exit code is the guest's. 124: its time was up; 134: it made a mistake that
ends a module; 137: it exceeded another limit; 125: it did not start.`,
		Example: `  hako run hello.wasm
  hako run -it ghcr.io/acme/lua:5.4
  hako run --dir .:/src:ro --memory 64m --timeout 30s tool.wasm /src/input
  hako run -p 8080:80 --db shop shop:1`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runModule(cmd.Context(), &f, args)
		},
		ValidArgsFunction: a.completeImage(1),
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&f.interactive, "interactive", "i", false, "let the guest read standard input")
	flags.BoolVarP(&f.terminal, "tty", "t", false, "show the guest that its streams are a terminal")
	flags.BoolVar(&f.raw, "raw", false, "with -it: hand every key to the guest as it is pressed, Ctrl-C too")
	flags.StringVar(&f.name, "name", "", "name for ps, exec and stop (default: a random one)")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, NAME=VALUE, or pass NAME on")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "read variables from a FILE of NAME=VALUE lines")
	flags.StringArrayVarP(&f.dirs, "dir", "v", nil, "grant a directory, HOST:GUEST or HOST:GUEST:ro")
	flags.StringArrayVar(&f.tmp, "tmpfs", nil, "make a directory in memory, GUEST or GUEST:SIZE (default 64m)")
	flags.StringArrayVarP(&f.ports, "publish", "p", nil, "let the guest listen on a port, [IP:]HOST:GUEST[/udp]")
	flags.StringArrayVar(&f.dbs, "db", nil, "grant a database, NAME[:PATH], or a snapshot to read, NAME@42[:PATH]")
	flags.StringArrayVar(&f.network, "network", nil, "let the guest connect to an address, HOST:PORT")
	flags.StringVarP(&f.memory, "memory", "m", "", "most memory, as 64m (default: what the module may have)")
	flags.DurationVar(&f.cpu, "cpu-time", 0, "most processor time, as 2s")
	flags.DurationVar(&f.timeout, "timeout", 0, "most time, as 30s")
	flags.StringVar(&f.output, "output-limit", "", "most bytes to write to standard output and error, as 64m")
	flags.IntVar(&f.files, "files", 0, "most open files (default 1024)")
	flags.StringVar(&f.entrypoint, "entrypoint", "", "run this module of the image instead of its own")
	flags.StringVarP(&f.workdir, "workdir", "w", "", "directory that the guest begins in, for guests that heed $PWD")
	flags.StringVar(&f.pull, "pull", "missing", "fetch the image: missing, always or never")
	flags.BoolVar(&f.remove, "rm", false, "taken for docker's sake: a guest leaves nothing behind anyway")
	insecureFlag(cmd, &f.insecure)
	_ = flags.MarkHidden("rm")
	return cmd
}

// An exitError ends the command with a guest's exit code. What there is to
// say about it is in err, if anything.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitNotStarted is the exit code where no guest ran, as docker has it, so
// that it is told from the guest's own.
const exitNotStarted = 125

// program is what there is to run.
type program struct {
	name   string // as it was asked for
	module []byte
	args   []string
	env    []string
	root   string
	image  *image.Image // nil for a file
}

func (p *program) close() {
	if p.image != nil {
		p.image.Close()
	}
}

func (a *app) runModule(ctx context.Context, f *runFlags, args []string) error {
	a.endedByQuit()
	started := false
	code, err := a.runGuest(ctx, f, args, &started)
	if cause := interruption(ctx); cause != 0 {
		return &exitError{code: cause} // by a signal, which nobody needs to be told
	}
	switch {
	case !started && err != nil:
		if isUsage(err) || ctx.Err() != nil {
			return err
		}
		return &exitError{exitNotStarted, err}
	case err != nil || code != 0:
		return &exitError{code, err}
	}
	return nil
}

func (a *app) runGuest(ctx context.Context, f *runFlags, args []string, started *bool) (code int, err error) {
	spec, err := f.spec()
	if err != nil {
		return 0, usageError{err}
	}
	data, err := a.dataDir()
	if err != nil && (len(spec.Databases) > 0 || f.name != "" || !isModuleFile(args[0])) {
		return 0, err // anything else needs no place to keep something
	}
	var vfs *vfscore.VFS
	if len(spec.Databases) > 0 {
		store, err := a.openStore(false)
		if errors.Is(err, pagestore.ErrLocked) {
			err = hintedError{err, "`hako ps` shows what runs; `hako exec NAME` runs another guest in that process, with its databases"}
		}
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, sqlite.Detach(store), store.Close()) }()
		vfs = vfscore.New(store, vfscore.Options{})
	}
	p, err := a.load(ctx, f, args)
	if err != nil {
		return 0, err
	}
	defer p.close()
	spec.Args, spec.Root = p.args, p.root
	spec.Env = hakoapp.MergeEnv(hakoapp.MergeEnv(a.terminalEnv(f), p.env), spec.Env)
	if p.root != "" {
		spec.Devices = true
		spec.Tmp = withTmp(spec)
	}
	runner, err := newRunner(data, vfs)
	if err != nil {
		return 0, err
	}
	defer func() {
		if ctx.Err() == nil || *started { // else it may be compiling, for whom nobody waits
			err = errors.Join(err, runner.Close())
		}
	}()
	module, err := a.compile(ctx, runner.Engine(), p.name, p.module)
	if err != nil {
		return 0, err
	}
	defer module.Close()
	process, err := runner.Start(ctx, module, spec)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, process.Close()) }()
	var journal *hakoapp.Journal // of what the guest writes, unless that is a terminal's
	if !f.terminal {
		journal = hakoapp.NewJournal(runJournal)
	}
	unregister, err := a.register(data, f, p, spec, process, journal)
	if err != nil {
		return 0, err
	}
	defer unregister()
	streams, restore, err := a.guestStreams(f)
	if err != nil {
		return 0, err
	}
	defer restore()
	if journal != nil {
		streams.Stdout, streams.Stderr = journal.Stream(streams.Stdout, "stdout"), journal.Stream(streams.Stderr, "stderr")
	}
	*started = true
	return process.Run(ctx, streams)
}

// newRunner makes a runner that keeps compiled modules in the data directory,
// or nowhere if that cannot be written to: running a file needs none.
func newRunner(data string, vfs *vfscore.VFS) (*hakoapp.Runner, error) {
	if data == "" {
		return hakoapp.NewRunner("", vfs)
	}
	r, err := hakoapp.NewRunner(filepath.Join(data, "compiled"), vfs)
	if err != nil {
		return hakoapp.NewRunner("", vfs)
	}
	return r, nil
}

// spec makes of the flags what they grant.
func (f *runFlags) spec() (s hakoapp.Spec, err error) {
	if f.name != "" {
		if err := hakoapp.CheckName(f.name); err != nil {
			return s, err
		}
	}
	if f.pull != "missing" && f.pull != "always" && f.pull != "never" {
		return s, fmt.Errorf("--pull %s: it is missing, always or never", f.pull)
	}
	if f.raw && !(f.interactive && f.terminal) {
		return s, errors.New("--raw needs -it: it is about what the terminal gives the guest to read")
	}
	for _, text := range f.dirs {
		d, err := hakoapp.ParseDir(text)
		if err != nil {
			return s, err
		}
		s.Dirs = append(s.Dirs, d)
	}
	for _, text := range f.ports {
		p, err := hakoapp.ParsePort(text)
		if err != nil {
			return s, err
		}
		s.Ports = append(s.Ports, p)
	}
	for _, text := range f.dbs {
		d, err := hakoapp.ParseDatabase(text)
		if err != nil {
			return s, err
		}
		s.Databases = append(s.Databases, d)
	}
	for _, text := range f.tmp {
		guest, size, given := strings.Cut(text, ":")
		t := wasi.Tmp{Guest: path.Clean(guest), Size: defaultTmp}
		if strings.ContainsRune(text, 0) {
			return s, fmt.Errorf("--tmpfs %q has a zero byte in it", text)
		}
		if !path.IsAbs(guest) {
			return s, fmt.Errorf("--tmpfs %q: the guest's path must be absolute", text)
		}
		if given {
			if t.Size, err = hakoapp.ParseSize(size); err != nil {
				return s, fmt.Errorf("--tmpfs: %w", err)
			}
		}
		s.Tmp = append(s.Tmp, t)
	}
	s.Network = f.network
	if s.Env, err = f.variables(); err != nil {
		return s, err
	}
	if f.workdir != "" {
		if strings.ContainsRune(f.workdir, 0) {
			return s, fmt.Errorf("--workdir %q has a zero byte in it", f.workdir)
		}
		if !path.IsAbs(f.workdir) {
			return s, fmt.Errorf("--workdir %q is not absolute", f.workdir)
		}
		s.Env = append(s.Env, "PWD="+path.Clean(f.workdir))
	}
	if f.cpu < 0 || f.timeout < 0 || f.files < 0 {
		return s, errors.New("a limit cannot be negative")
	}
	s.Limits.CPU, s.Limits.Wall, s.Limits.Files = f.cpu, f.timeout, f.files
	if f.memory != "" {
		if s.Limits.Memory, err = hakoapp.ParseSize(f.memory); err != nil {
			return s, fmt.Errorf("--memory: %w", err)
		}
	}
	if f.output != "" {
		if s.Limits.Output, err = hakoapp.ParseSize(f.output); err != nil {
			return s, fmt.Errorf("--output-limit: %w", err)
		}
	}
	return s, nil
}

// variables returns those of the files, then those of --env.
func (f *runFlags) variables() (env []string, err error) {
	add := func(text string) error {
		v, ok, err := hakoapp.ParseEnv(text, os.LookupEnv)
		if err == nil && ok {
			env = hakoapp.MergeEnv(env, []string{v})
		}
		return err
	}
	for _, name := range f.envFiles {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, maxEnvLine)
		n := 1
		for ; lines.Scan(); n++ {
			line := strings.TrimLeft(lines.Text(), " \t")
			if n == 1 {
				line = strings.TrimPrefix(line, "\ufeff") // editors on Windows begin files so
			}
			if line == "" || line[0] == '#' {
				continue
			}
			if variable, _, _ := strings.Cut(line, "="); strings.ContainsAny(variable, " \t") {
				return nil, fmt.Errorf("--env-file %s, line %d: the name %q has a space in it: write NAME=VALUE, without export, and without spaces around the =", name, n, variable)
			}
			if err := add(line); err != nil {
				return nil, fmt.Errorf("--env-file %s, line %d: %w", name, n, err)
			}
		}
		if err := lines.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("line %d has more than %d bytes", n, maxEnvLine)
			}
			return nil, fmt.Errorf("--env-file %s: %w", name, err)
		}
	}
	for _, text := range f.env {
		if err := add(text); err != nil {
			return nil, err
		}
	}
	return env, nil
}

// maxEnvLine bounds a line of an --env-file, in bytes.
const maxEnvLine = 1 << 20

// defaultTmp is the size of a directory in memory where none is said.
const defaultTmp = 64 << 20

// withTmp adds /tmp to what the guest of an image sees, as its programs
// expect one, unless something else is granted there.
func withTmp(s hakoapp.Spec) []wasi.Tmp {
	for _, t := range s.Tmp {
		if t.Guest == "/tmp" {
			return s.Tmp
		}
	}
	for _, d := range s.Dirs {
		if d.Guest == "/tmp" {
			return s.Tmp
		}
	}
	return append(s.Tmp, wasi.Tmp{Guest: "/tmp", Size: defaultTmp})
}

// register makes the process known to ps, exec and stop.
func (a *app) register(data string, f *runFlags, p *program, spec hakoapp.Spec, process *hakoapp.Process, journal *hakoapp.Journal) (unregister func(), err error) {
	info := hakoapp.Info{
		ID: hakoapp.NewID(), Name: f.name, Image: p.name, Args: p.args[min(1, len(p.args)):],
		PID: os.Getpid(), Started: time.Now(), Ports: process.Ports(),
	}
	for _, d := range spec.Databases {
		info.Databases = append(info.Databases, d.Snapshot)
	}
	if data == "" {
		return func() {}, nil
	}
	registry := hakoapp.NewRegistry(data)
	for tries := 0; ; tries++ {
		if f.name == "" {
			info.Name = hakoapp.NewName()
		}
		registration, err := registry.Register(info.Name, &controlled{process, info, journal})
		switch {
		case err == nil:
			return func() { registration.Close() }, nil
		case f.name == "" && errors.Is(err, hakoapp.ErrNameTaken) && tries < 100:
			continue
		case f.name == "":
			return func() {}, nil // nobody asked for it to be known
		}
		return nil, err
	}
}

// controlled is a process with what it tells of itself.
type controlled struct {
	*hakoapp.Process
	info    hakoapp.Info
	journal *hakoapp.Journal
}

// runJournal is how many bytes of what a guest writes are kept for hako logs.
const runJournal = 1 << 20

// Journal implements app.Logger.
func (c *controlled) Journal() *hakoapp.Journal { return c.journal }

func (c *controlled) Info() hakoapp.Info {
	info := c.info
	info.Usage = c.Usage()
	return info
}

// load finds the module to run and what its image says about running it.
func (a *app) load(ctx context.Context, f *runFlags, args []string) (*program, error) {
	name, args := args[0], args[1:]
	if isModuleFile(name) {
		if f.entrypoint != "" {
			return nil, usageErrorf("--entrypoint is for images: %s is a file", name)
		}
		b, err := readModule(ctx, name)
		if err != nil {
			return nil, err
		}
		return &program{name: name, module: b, args: append([]string{filepath.Base(name)}, args...)}, nil
	}
	store, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	img, err := a.openImage(ctx, store, name, f)
	if err != nil {
		return nil, err
	}
	p := &program{name: name, image: img, env: img.Config.Env, args: img.Command(args...)}
	if img.Config.WorkingDir != "" {
		p.env = hakoapp.MergeEnv([]string{"PWD=" + img.Config.WorkingDir}, p.env)
	}
	if !img.Artifact {
		if p.root, err = img.Root(ctx); err != nil {
			p.close()
			return nil, err
		}
	}
	if f.entrypoint != "" {
		p.module, err = readIn(p.root, f.entrypoint, img)
		p.args = append([]string{f.entrypoint}, args...)
	} else {
		p.module, err = img.Module(ctx)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// isModuleFile tells a file from an image's name: it ends in .wasm, or begins
// as a path does, or has a slash and is there.
func isModuleFile(name string) bool {
	for _, path := range []string{"/", "./", "../", `.\`, `..\`} {
		if strings.HasPrefix(name, path) {
			return true
		}
	}
	if strings.HasSuffix(name, ".wasm") || name == "." || name == ".." {
		return true
	}
	if !strings.ContainsAny(name, `/\`) {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// maxModule bounds a module's file, in bytes.
const maxModule = 1 << 30

// readModule reads a file, which may be a pipe that nobody writes to: it
// returns when ctx is done.
func readModule(ctx context.Context, name string) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := readAll(name)
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return r.b, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("run module: read %s: %w", name, context.Cause(ctx))
	}
}

func readAll(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("run module: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("run module: %s is a directory: `hako build -t NAME %[1]s` makes an image of one", name)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxModule+1))
	if err != nil {
		return nil, fmt.Errorf("run module: %w", err)
	}
	if len(b) > maxModule {
		return nil, fmt.Errorf("run module %s: it has more than %d bytes", name, maxModule)
	}
	return b, nil
}

// readIn reads a module of an image's file system.
func readIn(root, name string, img *image.Image) ([]byte, error) {
	if root == "" {
		return nil, fmt.Errorf("--entrypoint: image %s is a single module", img.Name)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := r.ReadFile(strings.TrimPrefix(path.Clean("/"+name), "/"))
	if err != nil {
		return nil, fmt.Errorf("--entrypoint of image %s: %w", img.Name, err)
	}
	return b, nil
}

// openImage opens an image, fetching it first if --pull wants that.
func (a *app) openImage(ctx context.Context, s *image.Store, name string, f *runFlags) (*image.Image, error) {
	if f.pull != "always" {
		img, err := s.Open(ctx, name)
		var unknown *image.UnknownImageError
		if err == nil || f.pull == "never" || !errors.As(err, &unknown) {
			return img, err
		}
		if unknown.Nearest != "" && !strings.ContainsAny(name, "/.") {
			return nil, err // a slip is likelier than a wish for docker.io's
		}
	}
	if _, err := a.pullImage(ctx, s, name, image.PullOptions{RegistryOptions: image.RegistryOptions{Insecure: f.insecure}}); err != nil {
		return nil, err
	}
	return s.Open(ctx, name)
}
