//go:build unix

package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol between a registered process and others: one request for each
// connection, a line of JSON, with it the guest's standard streams as
// descriptors; one reply, a line of JSON. Closing the connection cancels.
const (
	opInfo    = "info"
	opStop    = "stop"
	opExec    = "exec"
	opReload  = "reload"
	opCommand = "command"
	opLogs    = "logs"
	opStats   = "stats"

	maxRequest = 1 << 20 // bytes; arguments and variables
)

type request struct {
	Op    string   `json:"op"`
	Args  []string `json:"args,omitempty"`
	Env   []string `json:"env,omitempty"`
	Dir   string   `json:"dir,omitempty"`
	Stdin bool     `json:"stdin,omitempty"` // three descriptors come, not two

	Logs *LogQuery `json:"logs,omitempty"` // answered by a line of JSON for each of the log
}

type reply struct {
	Info  *Info  `json:"info,omitempty"`
	Stats *Stats `json:"stats,omitempty"`
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"`
}

// request sends a request and returns the connection to read the reply from.
func (r *Registry) request(path string, q request, files []*os.File) (*net.UnixConn, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	if len(line) > maxRequest {
		return nil, fmt.Errorf("arguments and variables have %d bytes: %d are allowed", len(line), maxRequest)
	}
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	// The descriptors go with the first byte.
	_, _, err = conn.WriteMsgUnix(line[:1], rights, nil)
	if err == nil {
		_, err = conn.Write(line[1:])
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// ask returns what the process behind a socket says of itself.
func (r *Registry) ask(path string) (Info, error) {
	conn, err := r.request(path, request{Op: opInfo}, nil)
	if err != nil {
		return Info{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	var reply reply
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return Info{}, err
	}
	if reply.Info == nil {
		return Info{}, errors.New(reply.Error)
	}
	return *reply.Info, nil
}

// serve accepts connections until the listener is closed. Each is served by
// a goroutine of its own that Close waits for.
func (reg *Registration) serve(ctx context.Context, c Controller) {
	defer reg.done.Done()
	for {
		conn, err := reg.listener.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: others may come free
			continue
		}
		reg.done.Add(1)
		go func() {
			defer reg.done.Done()
			defer conn.Close()
			handle(ctx, conn, c)
		}()
	}
}

func handle(ctx context.Context, conn *net.UnixConn, c Controller) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_ = conn.SetReadDeadline(time.Now().Add(dialTimeout))
	first := make([]byte, 1)
	oob := make([]byte, unix.CmsgSpace(8*4))
	n, oobn, _, _, err := conn.ReadMsgUnix(first, oob)
	files := receive(oob[:oobn])
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil || n != 1 {
		return
	}
	var q request
	d := json.NewDecoder(io.LimitReader(io.MultiReader(bytes.NewReader(first), conn), maxRequest))
	if err := d.Decode(&q); err != nil {
		_ = json.NewEncoder(conn).Encode(reply{Error: fmt.Sprintf("the request is not understood: %v", err)})
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var answer reply
	switch q.Op {
	case opInfo:
		info := c.Info()
		answer.Info = &info
	case opStop:
		c.Stop()
		<-ctx.Done() // held open until the process ends: that is the answer
		return
	case opExec:
		x := Exec{Args: q.Args, Env: q.Env}
		switch {
		case len(files) == 3 && q.Stdin:
			x.Stdin = files[2]
		case len(files) != 2 || q.Stdin:
			answer.Error = fmt.Sprintf("exec came with %d streams", len(files))
		}
		if answer.Error == "" {
			x.Stdout, x.Stderr = files[0], files[1]
			// A client that goes away takes its guest along. One that only
			// says no more waits until the guest let go of its terminal.
			guest, end := context.WithCancel(ctx)
			defer end()
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				end()
			}()
			code, err := c.Exec(guest, x)
			answer.Code = code
			if err != nil {
				answer.Error = err.Error()
			}
		}
	case opCommand:
		commander, ok := c.(Commander)
		if !ok || len(files) != 3 {
			answer.Error = "it runs no commands for others"
			break
		}
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			cancel()
		}()
		code, err := commander.Command(ctx, Command{Args: q.Args, Dir: q.Dir, Stdout: files[0], Stderr: files[1], Stdin: files[2]})
		answer.Code = code
		if err != nil {
			answer.Error = err.Error()
		}
	case opReload:
		r, ok := c.(Reloader)
		if !ok {
			answer.Error = "it has no configuration to load"
		} else if err := r.Reload(ctx); err != nil {
			answer.Error = err.Error()
		}
	case opLogs:
		l, ok := c.(Logger)
		if !ok || q.Logs == nil || l.Journal() == nil {
			answer.Error = "it keeps no log"
			break
		}
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			cancel()
		}()
		sendLogs(ctx, conn, l.Journal(), *q.Logs)
		return
	case opStats:
		stats, err := statsOf(ctx, c)
		if answer.Stats = &stats; err != nil {
			answer.Stats, answer.Error = nil, err.Error()
		}
	default:
		answer.Error = fmt.Sprintf("operation %q is unknown: the other hako is of another version", q.Op)
	}
	_ = json.NewEncoder(conn).Encode(answer)
}

// sendLogs writes lines until there are no more, or ctx is done, with which
// the connection closes.
func sendLogs(ctx context.Context, conn *net.UnixConn, j *Journal, q LogQuery) {
	buffered := bufio.NewWriterSize(conn, 32<<10)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	// Lines are held back for a moment, for they come by the dozen.
	var mu sync.Mutex
	held, closed := false, false
	flush := func() {
		mu.Lock()
		defer mu.Unlock()
		if held = false; !closed {
			_ = buffered.Flush()
		}
	}
	err := j.Read(q, ctx.Done(), func(l *LogLine) error {
		mu.Lock()
		defer mu.Unlock()
		if !held {
			held = true
			time.AfterFunc(logFlush, flush)
		}
		return lines.Encode(l)
	})
	mu.Lock()
	defer mu.Unlock()
	closed = true
	if err == nil {
		_ = buffered.Flush()
	}
}

// logFlush is how long a line of the log may be held back.
const logFlush = 20 * time.Millisecond

// statsOf returns what a process tells of what it did, or its usage.
func statsOf(ctx context.Context, c Controller) (Stats, error) {
	if counter, ok := c.(Counter); ok {
		return counter.Stats(ctx)
	}
	u := c.Info().Usage
	return Stats{Time: time.Now(), CPU: u.CPU, Memory: u.Memory, Output: u.Output}, nil
}

// receive takes the descriptors out of a control message.
func receive(oob []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stream"))
		}
	}
	return files
}
