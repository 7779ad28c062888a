//go:build unix

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds how long a process that does not answer is waited for.
const dialTimeout = 2 * time.Second

// A Registration keeps a process in a registry.
type Registration struct {
	listener *net.UnixListener
	path     string
	cancel   context.CancelFunc
	done     sync.WaitGroup // the accepting goroutine and those of connections
}

// Register makes a process known by name until the registration is closed.
// It fails with [ErrNameTaken] if one of that name runs.
func (r *Registry) Register(name string, c Controller) (*Registration, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("register process %s: %w", name, err)
	}
	if err := r.check(true); err != nil {
		return nil, fmt.Errorf("register process %s: %w", name, err)
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, fmt.Errorf("register process %s: %w", name, err)
	}
	defer unlock()
	path := r.socket(name)
	if info, err := r.ask(path); err == nil {
		return nil, fmt.Errorf("process %s: %w by %s (process %d), running since %s", name, ErrNameTaken, info.Image, info.PID, info.Started.Local().Format(time.DateTime))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("register process %s: %w", name, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("register process %s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	reg := &Registration{listener: l, path: path, cancel: cancel}
	reg.done.Add(1)
	go reg.serve(ctx, c)
	return reg, nil
}

// Close takes the process off the list, ends what was executed beside it and
// waits for that.
func (reg *Registration) Close() error {
	reg.cancel()
	err := reg.listener.Close() // removes the socket
	reg.done.Wait()
	return err
}

// List returns what runs, oldest first. Sockets of processes that died are
// removed.
func (r *Registry) List() ([]Info, error) {
	if err := r.check(false); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("list processes: %w", err)
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	var infos []Info
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".sock")
		if !ok {
			continue
		}
		info, err := r.ask(r.socket(name))
		switch {
		case err == nil:
			info.Name = name // whatever it says: by this it is found
			infos = append(infos, info)
		case errors.Is(err, unix.ECONNREFUSED):
			r.clean(name)
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return a.Started.Compare(b.Started) })
	return infos, nil
}

// Find returns the process that has this name, or whose ID begins with it.
func (r *Registry) Find(name string) (Info, error) {
	if CheckName(name) == nil && r.check(false) == nil {
		if info, err := r.ask(r.socket(name)); err == nil {
			info.Name = name
			return info, nil
		}
	}
	infos, err := r.List()
	if err != nil {
		return Info{}, err
	}
	var found []Info
	for _, info := range infos {
		if name != "" && strings.HasPrefix(info.ID, name) {
			found = append(found, info)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Info{}, fmt.Errorf("%d processes have an ID that begins with %q: say more of it", len(found), name)
	}
	return Info{}, fmt.Errorf("process %q: %w: hako ps lists those that are", name, ErrNotRunning)
}

// Stop ends a process's guest and waits until the process is off the list or
// ctx is done.
func (r *Registry) Stop(ctx context.Context, name string) error {
	info, err := r.Find(name)
	if err != nil {
		return err
	}
	conn, err := r.request(r.socket(info.Name), request{Op: opStop}, nil)
	if err != nil {
		return fmt.Errorf("stop process %s: %w", info.Name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// The other side holds the connection for as long as it lives.
	var reply reply
	if err := json.NewDecoder(conn).Decode(&reply); ctx.Err() != nil {
		return fmt.Errorf("stop process %s: it has not ended: %w", info.Name, context.Cause(ctx))
	} else if err == nil && reply.Error != "" {
		return fmt.Errorf("stop process %s: %s", info.Name, reply.Error)
	}
	return nil
}

// Command has a process run a command line, and returns its exit code.
func (r *Registry) Command(ctx context.Context, name string, c Command) (int, error) {
	conn, err := r.request(r.socket(name), request{Op: opCommand, Args: c.Args, Dir: c.Dir, Stdin: true}, []*os.File{c.Stdout, c.Stderr, c.Stdin})
	if err != nil {
		return 0, fmt.Errorf("ask process %s, which has the databases: %w", name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // which the other side notices
	var reply reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return 0, fmt.Errorf("ask process %s, which has the databases: it ended: %w", name, err)
	}
	if reply.Error != "" {
		return 0, errors.New(reply.Error)
	}
	return reply.Code, nil
}

// Reload lets a process load its configuration again.
func (r *Registry) Reload(ctx context.Context, name string) error {
	info, err := r.Find(name)
	if err != nil {
		return err
	}
	conn, err := r.request(r.socket(info.Name), request{Op: opReload}, nil)
	if err != nil {
		return fmt.Errorf("reload %s: %w", info.Name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var reply reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return fmt.Errorf("reload %s: it ended: %w", info.Name, err)
	}
	if reply.Error != "" {
		return fmt.Errorf("reload %s: the old configuration stays in force: %s", info.Name, reply.Error)
	}
	return nil
}

// Logs calls f with the lines of a process's journal that q wants, until there
// are no more or, if q follows, until the process ends or ctx is done, which is
// no error. It returns f's error if that fails.
func (r *Registry) Logs(ctx context.Context, name string, q LogQuery, f func(l *LogLine) error) error {
	info, err := r.Find(name)
	if err != nil {
		return err
	}
	conn, err := r.request(r.socket(info.Name), request{Op: opLogs, Logs: &q}, nil)
	if err != nil {
		return fmt.Errorf("read the logs of %s: %w", info.Name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := json.NewDecoder(conn)
	for {
		var got struct {
			LogLine
			Error string `json:"error"`
		}
		err := lines.Decode(&got)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, unix.ECONNRESET):
			return nil // it ended, maybe in the middle of a line
		case err != nil:
			return fmt.Errorf("read the logs of %s: %w", info.Name, err)
		case got.Error != "":
			return fmt.Errorf("read the logs of %s: %s", info.Name, got.Error)
		}
		if err := f(&got.LogLine); err != nil {
			return err
		}
	}
}

// Stats returns what a process has done so far.
func (r *Registry) Stats(ctx context.Context, name string) (Stats, error) {
	info, err := r.Find(name)
	if err != nil {
		return Stats{}, err
	}
	conn, err := r.request(r.socket(info.Name), request{Op: opStats}, nil)
	if err != nil {
		return Stats{}, fmt.Errorf("ask %s for its statistics: %w", info.Name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	var reply reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return Stats{}, fmt.Errorf("ask %s for its statistics: it ended: %w", info.Name, err)
	}
	if reply.Error != "" || reply.Stats == nil {
		return Stats{}, fmt.Errorf("ask %s for its statistics: %s", info.Name, reply.Error)
	}
	return *reply.Stats, nil
}

// Exec runs a guest beside a running process and returns its exit code. The
// guest is stopped when ctx is done.
func (r *Registry) Exec(ctx context.Context, name string, x Exec) (int, error) {
	info, err := r.Find(name)
	if err != nil {
		return 0, err
	}
	files := []*os.File{x.Stdout, x.Stderr}
	if x.Stdin != nil {
		files = append(files, x.Stdin)
	}
	conn, err := r.request(r.socket(info.Name), request{Op: opExec, Args: x.Args, Env: x.Env, Stdin: x.Stdin != nil}, files)
	if err != nil {
		return 0, fmt.Errorf("exec in process %s: %w", info.Name, err)
	}
	defer conn.Close()
	// The other side notices, ends the guest and answers.
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(time.Now().Add(dialTimeout))
		_ = conn.CloseWrite()
	})()
	var reply reply
	err = json.NewDecoder(conn).Decode(&reply)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("exec in process %s: it ended before the guest did", info.Name)
	}
	if reply.Error != "" {
		return reply.Code, errors.New(reply.Error)
	}
	return reply.Code, nil
}

// check makes sure that the directory is this user's alone: who can write
// there can pass for a process, and who can connect runs code with a process's
// grants. The directory may lie where everybody can make one of that name.
func (r *Registry) check(mend bool) error {
	info, err := os.Lstat(r.dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s has to be a directory of this user", r.dir)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if mend {
		return os.Chmod(r.dir, 0o700)
	}
	return fmt.Errorf("%s has to be a directory for this user alone: chmod it to 700", r.dir)
}

func (r *Registry) socket(name string) string { return filepath.Join(r.dir, name+".sock") }

// lock keeps others from registering or cleaning up at the same time.
func (r *Registry) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// clean removes the socket of a process that died.
func (r *Registry) clean(name string) {
	unlock, err := r.lock()
	if err != nil {
		return
	}
	defer unlock()
	if _, err := r.ask(r.socket(name)); errors.Is(err, unix.ECONNREFUSED) {
		os.Remove(r.socket(name))
	}
}
