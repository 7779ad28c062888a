package sqlite

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/libc"
)

// A connection joins an SQLite connection to its session. SQLite names the
// connection in none of the calls that open files; what it has of its own is
// the TLS of modernc's driver.
type connection struct {
	id      uintptr // random: SQL that attaches a database could name one
	session *vfscore.Session
	tls     *libc.TLS // set when its first database is opened
	db      uintptr   // SQLite's, set when main is open
	mains   int       // databases open
	held    bool      // by the driver, which lets go of it itself

	// resolve says what to open for the name of an attached database, if it is
	// not nil.
	resolve func(name string) (snapshot string, o vfscore.OpenOptions, err error)

	temp *vfscore.Quota // of temporary files; nil: none
}

var connections = struct {
	sync.Mutex
	byID  map[uintptr]*connection
	byTLS map[*libc.TLS]*connection
}{byID: make(map[uintptr]*connection), byTLS: make(map[*libc.TLS]*connection)}

// newConnection makes a connection for the driver, which must drop it.
func newConnection(s *vfscore.Session) *connection {
	connections.Lock()
	defer connections.Unlock()
	return addConnection(s, true)
}

func addConnection(s *vfscore.Session, held bool) *connection {
	var b [8]byte
	rand.Read(b[:])
	c := &connection{id: uintptr(binary.BigEndian.Uint64(b[:])>>1 | 1), session: s, held: held}
	connections.byID[c.id] = c
	return c
}

// connectionFor finds the connection that opens a database: the one that the
// driver has just made with that id, if it is not 0, or the one that uses tls,
// which is made if need be.
func connectionFor(id uintptr, tls *libc.TLS, vfs *vfscore.VFS) *connection {
	connections.Lock()
	defer connections.Unlock()
	c := connections.byID[id]
	if c == nil || c.tls != nil {
		c = connections.byTLS[tls]
	}
	if c == nil {
		c = addConnection(vfs.NewSession(vfscore.SessionOptions{}), false)
	}
	c.tls = tls
	connections.byTLS[tls] = c
	return c
}

// ofTLS returns the connection that uses tls, nil if it has no database open.
func ofTLS(tls *libc.TLS) *connection {
	connections.Lock()
	defer connections.Unlock()
	return connections.byTLS[tls]
}

func connectionByID(id uintptr) *connection {
	connections.Lock()
	defer connections.Unlock()
	return connections.byID[id]
}

// count adds n to the number of databases that are open.
func (c *connection) count(n int) {
	connections.Lock()
	defer connections.Unlock()
	c.mains += n
	c.tidy()
}

// drop is the driver's letting go.
func (c *connection) drop() {
	connections.Lock()
	defer connections.Unlock()
	c.held = false
	c.tidy()
}

func (c *connection) tidy() {
	if c.mains > 0 {
		return
	}
	if c.tls != nil && connections.byTLS[c.tls] == c {
		delete(connections.byTLS, c.tls)
	}
	if !c.held {
		delete(connections.byID, c.id)
	}
}
