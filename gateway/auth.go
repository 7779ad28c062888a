package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"runtime"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/hako-run/hako/config"
)

// maxPassword is the longest password that bcrypt looks at, in bytes.
const maxPassword = 72

// maxKnown is how many passwords found right are remembered at once.
const maxKnown = 1024

// basicAuth asks for a name and a password. bcrypt is slow on purpose, so
// what was right is remembered, by a hash that is salted anew in each process,
// and only a few comparisons run at once.
type basicAuth struct {
	challenge string
	users     map[string]config.PasswordHash
	nobody    []byte // compared with for names that do not exist, for the time it takes
	salt      [32]byte
	turns     chan struct{}

	mu    sync.Mutex
	known map[[32]byte]struct{}
}

func newBasicAuth(c *config.BasicAuth) *basicAuth {
	a := &basicAuth{
		challenge: `Basic realm="` + c.Realm + `", charset="UTF-8"`,
		users:     c.Users,
		turns:     make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		known:     map[[32]byte]struct{}{},
	}
	_, _ = rand.Read(a.salt[:])
	for _, hash := range c.Users {
		a.nobody = []byte(hash)
	}
	return a
}

// allow reports whether the request may go on; otherwise it has answered.
func (a *basicAuth) allow(e *exchange, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if ok && len(password) <= maxPassword && a.right(e, r, user, password) {
		e.user = user
		delete(r.Header, "Authorization") // it was for the gateway
		return true
	}
	if r.Context().Err() != nil {
		e.status, e.err = statusClientGone, r.Context().Err()
		return false
	}
	e.Header().Set("WWW-Authenticate", a.challenge)
	var err error
	if ok {
		err = errors.New("wrong name or password")
	}
	e.fail(http.StatusUnauthorized, err)
	return false
}

func (a *basicAuth) right(_ *exchange, r *http.Request, user, password string) bool {
	key := sha256.Sum256([]byte(string(a.salt[:]) + user + ":" + password))
	a.mu.Lock()
	_, ok := a.known[key]
	a.mu.Unlock()
	if ok {
		return true
	}
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-r.Context().Done():
		return false
	}
	hash, exists := a.users[user]
	if !exists {
		_ = bcrypt.CompareHashAndPassword(a.nobody, []byte(password))
		return false
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxKnown {
		clear(a.known)
	}
	a.known[key] = struct{}{}
	return true
}
