package gateway

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// firstInherited is the first descriptor that systemd passes (sd_listen_fds,
// SD_LISTEN_FDS_START).
const firstInherited = 3

// inheritedSockets are those that systemd has opened for this process, by
// name. Each is taken once; after a reload without it, it is closed with its
// listener.
type inheritedSockets struct {
	mu    *sync.Mutex
	files map[string][]*os.File
}

// inheritSockets reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, and unsets
// them, as they are for this process alone.
func inheritSockets() inheritedSockets {
	s := inheritedSockets{&sync.Mutex{}, map[string][]*os.File{}}
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if pid != os.Getpid() || n <= 0 {
		return s
	}
	for _, name := range [...]string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	for i := range n {
		name := ""
		if i < len(names) && names[i] != "unknown" {
			name = names[i]
		}
		s.files[name] = append(s.files[name], os.NewFile(uintptr(firstInherited+i), "systemd:"+name))
	}
	return s
}

// take returns the sockets of a name.
func (s *inheritedSockets) take(name string) ([]net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.files[name]
	if len(files) == 0 {
		var known []string
		for n := range s.files {
			known = append(known, strconv.Quote(n))
		}
		if len(known) == 0 {
			return nil, fmt.Errorf("listen on systemd:%s: systemd has passed no sockets: start this as a service with a socket unit", name)
		}
		return nil, fmt.Errorf("listen on systemd:%s: systemd has passed %s: see FileDescriptorName= of the socket unit", name, strings.Join(known, ", "))
	}
	delete(s.files, name)
	var list []net.Listener
	for i, file := range files {
		l, err := net.FileListener(file)
		if err != nil {
			for _, open := range list {
				_ = open.Close()
			}
			s.files[name] = files[i:]
			return nil, fmt.Errorf("listen on systemd:%s: %w", name, err)
		}
		_ = file.Close() // l has a descriptor of its own
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the file is systemd's
		}
		list = append(list, l)
	}
	return list, nil
}

func (s *inheritedSockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, files := range s.files {
		for _, f := range files {
			_ = f.Close()
		}
		delete(s.files, name)
	}
}
