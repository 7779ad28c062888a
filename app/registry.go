package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Info describes a running process to others on the same machine.
type Info struct {
	ID        string     `json:"id"` // 12 hexadecimal digits
	Name      string     `json:"name"`
	Image     string     `json:"image"` // as it was named when started
	Args      []string   `json:"args"`
	PID       int        `json:"pid"` // of the host process that it runs in
	Started   time.Time  `json:"started"`
	Ports     []PortInfo `json:"ports,omitempty"`
	Addresses []string   `json:"addresses,omitempty"` // where a server listens
	Apps      []string   `json:"apps,omitempty"`      // that a server serves
	Databases []string   `json:"databases,omitempty"`
	Commands  bool       `json:"commands,omitempty"` // it runs commands on its databases for others
	Usage     Usage      `json:"usage"`
}

// PortInfo is a published port as it came to be.
type PortInfo struct {
	Host    netip.AddrPort `json:"host"`
	Guest   uint16         `json:"guest"`
	Network string         `json:"network"`
}

func (p PortInfo) String() string { return fmt.Sprintf("%s->%d/%s", p.Host, p.Guest, p.Network) }

// Usage is what a process has used so far.
type Usage struct {
	CPU    time.Duration `json:"cpu_ns"`
	Memory int64         `json:"memory"` // bytes of its linear memory
	Output int64         `json:"output"` // bytes written to its standard streams
}

var (
	// ErrNameTaken means that a process of that name is running.
	ErrNameTaken = errors.New("name is taken")
	// ErrNotRunning means that no process of that name or ID is running.
	ErrNotRunning = errors.New("no such process is running")
)

// A Registry is the list of the running processes of one data directory. It
// is a folder with a socket for each of them, named as the process is, so
// that it needs no server and a process that died leaves nothing behind that
// would be taken for a living one.
type Registry struct {
	dir string
}

// NewRegistry returns the registry of a data directory. It creates nothing
// before a process registers.
func NewRegistry(data string) *Registry {
	dir := filepath.Join(data, "run")
	// A socket's path has room for 107 bytes on Linux, 103 on macOS.
	if absolute, err := filepath.Abs(dir); err == nil && len(absolute) > 60 {
		h := fnv.New64a()
		h.Write([]byte(absolute))
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("hako-%d-%x", os.Getuid(), h.Sum64()))
	}
	return &Registry{dir: dir}
}

// NewID returns a random ID for a process.
func NewID() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

var (
	adjectives = []string{"brisk", "calm", "clever", "cosy", "daring", "early", "fair", "fleet", "gentle", "keen", "lively", "lucid", "mellow", "merry", "nimble", "patient", "plucky", "quiet", "ready", "serene", "spry", "steady", "sunny", "tidy", "vivid", "warm", "wise", "witty"}
	animals    = []string{"badger", "beaver", "crane", "dormouse", "falcon", "finch", "fox", "gecko", "hare", "heron", "ibis", "kestrel", "lark", "lynx", "marten", "mole", "newt", "otter", "owl", "plover", "raven", "robin", "seal", "shrew", "stoat", "swift", "tanuki", "wren"}
)

// NewName returns a random name for a process, such as "calm-otter".
func NewName() string {
	var b [2]byte
	rand.Read(b[:])
	return adjectives[int(b[0])%len(adjectives)] + "-" + animals[int(b[1])%len(animals)]
}

// CheckName says what is wrong with a process's name: it is 1 to 40 letters,
// digits, dots, dashes and underscores, and begins with a letter or digit.
func CheckName(name string) error {
	if len(name) == 0 || len(name) > 40 {
		return fmt.Errorf("process name %q has %d characters: it may have 1 to 40", name, len(name))
	}
	for i, c := range []byte(name) {
		alnum := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '-' && c != '_') {
			return fmt.Errorf("process name %q: use letters, digits, and after the first also . - _", name)
		}
	}
	return nil
}

// A Controller is what a registered process lets others do with it. Its
// methods are called from several goroutines.
type Controller interface {
	// Info describes the process as it is now.
	Info() Info
	// Stop ends the guest and returns at once.
	Stop()
	// Exec runs another guest with the grants of this one and returns its
	// exit code. It ends when ctx does.
	Exec(ctx context.Context, x Exec) (int, error)
}

// Exec is a guest to run beside a running one.
type Exec struct {
	Args                  []string
	Env                   []string // added to the process's own
	Stdin, Stdout, Stderr *os.File // Stdin may be nil
}

// A Reloader is a Controller that can load its configuration again.
type Reloader interface {
	// Reload returns when the new configuration is in force; an error says
	// why the old one stays.
	Reload(ctx context.Context) error
}

// A Logger is a Controller that has the last lines of what it logged.
type Logger interface {
	Journal() *Journal
}

// A Counter is a Controller that counts what it does. Others are known by
// their Info.Usage.
type Counter interface {
	Stats(ctx context.Context) (Stats, error)
}

// Command is a command line of another process, to be run in this one.
type Command struct {
	Args                  []string
	Dir                   string // the other's working directory
	Stdin, Stdout, Stderr *os.File
}

// A Commander is a Controller that runs commands for others.
type Commander interface {
	// Command returns the exit code of a command, which ends when ctx does.
	Command(ctx context.Context, c Command) (int, error)
}
