package gateway

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// An Entry is what is known of a request that an app has answered: a line of
// the access log in its JSON form, or of the recorder, which knows more.
type Entry struct {
	Time   time.Time `json:"time"`
	ID     string    `json:"id"`
	Client string    `json:"client"`
	Method string    `json:"method"`
	Host   string    `json:"host"`
	Scheme string    `json:"scheme,omitempty"` // http unless given
	URI    string    `json:"uri"`              // as the client sent it
	User   string    `json:"user,omitempty"`
	Status int       `json:"status"`
	Bytes  int64     `json:"bytes"`
	App    EntryApp  `json:"app"`

	Received int64  `json:"received,omitempty"` // bytes of the request's body
	Agent    string `json:"agent,omitempty"`
	Referer  string `json:"referer,omitempty"`

	Replay string `json:"replay,omitempty"` // the ID of the request that this one repeats

	// What the recorder adds.
	Header   http.Header `json:"header,omitempty"`
	Withheld []string    `json:"withheld,omitempty"` // headers that were there and are not recorded
	Body     []byte      `json:"body,omitempty"`
	Cut      bool        `json:"cut,omitempty"` // the body has more
	Recorded bool        `json:"recorded,omitempty"`
	Hash     string      `json:"hash,omitempty"` // of the response's body: SHA-256, its first 16 bytes
}

// EntryApp is an Entry's part of the app that answered.
type EntryApp struct {
	Name      string            `json:"name"`
	Pinned    string            `json:"pinned,omitempty"`
	Databases map[string]uint64 `json:"databases,omitempty"` // the versions that were read or made
	Before    map[string]uint64 `json:"before,omitempty"`    // of databases that were written, the version before
	Length    int64             `json:"length,omitempty"`    // of the body before it was compressed, if it was
}

// ParseEntry reads a line of the access log, or of the recorder.
func ParseEntry(line []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// Length returns how long the response's body was, before any compression.
func (n *Entry) Length() int64 {
	if n.App.Length > 0 {
		return n.App.Length
	}
	return n.Bytes
}

// Snapshots lists what the request saw: what it read, and what there was
// before it wrote. It is empty for a request that used no database.
func (n *Entry) Snapshots() []DatabaseAt {
	var list []DatabaseAt
	for name, v := range n.App.Databases {
		before, wrote := n.App.Before[name]
		at := DatabaseAt{Name: name, Version: v, Wrote: wrote, Before: before}
		if wrote {
			at.Version = before
		}
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b DatabaseAt) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

// entry describes a request that an app has answered.
func (e *exchange) entry() Entry {
	a := &e.account
	n := Entry{
		Time: e.began, ID: e.id, Client: e.client, Method: e.request.Method, Host: e.host, URI: e.uri, User: e.user,
		Status: e.status, Bytes: e.written, Received: e.body.bytes(),
		Agent: e.request.Header.Get("User-Agent"), Referer: e.request.Header.Get("Referer"),
		App: EntryApp{Name: e.route.config.App, Pinned: a.Pinned},
	}
	if e.secure {
		n.Scheme = "https"
	}
	if e.plain != e.written {
		n.App.Length = e.plain
	}
	if replay := e.server.replay; replay != nil {
		n.Replay = replay.Of
	}
	for _, v := range a.Versions {
		if n.App.Databases == nil {
			n.App.Databases = make(map[string]uint64, len(a.Versions))
		}
		n.App.Databases[v.Name] = v.Version
		if v.Wrote {
			if n.App.Before == nil {
				n.App.Before = map[string]uint64{}
			}
			n.App.Before[v.Name] = v.Before
		}
	}
	return n
}

// recentEntries is how many requests are remembered without a log.
const recentEntries = 512

// maxRecentURI bounds what is kept of each.
const maxRecentURI = 4096

// recent are the last requests that apps have answered.
type recent struct {
	mu   sync.Mutex
	list [recentEntries]Entry
	n    int // that were added
}

func (c *recent) add(n Entry) {
	if len(n.URI) > maxRecentURI {
		return
	}
	c.mu.Lock()
	c.list[c.n%recentEntries] = n
	c.n++
	c.mu.Unlock()
}

// find returns the last entry that fits, nil if none does.
func (c *recent) find(fits func(*Entry) bool) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.n - 1; i >= max(0, c.n-recentEntries); i-- {
		if n := c.list[i%recentEntries]; fits(&n) {
			return &n
		}
	}
	return nil
}

// requestID is the header by which clients, apps and logs name a request.
const requestID = "X-Request-Id"

// name gives a request its ID. That of a client counts where it is trusted.
func (e *exchange) name(r *http.Request) {
	if id := r.Header.Get(requestID); e.trusted && validID(id) {
		e.id = id
	} else {
		var b [16]byte
		e.id = string(strconv.AppendUint(b[:0], rand.Uint64()|1<<63, 16))
	}
	r.Header[requestID] = []string{e.id}
}

// validID reports whether a request's ID can stand in logs and headers.
func validID(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}
