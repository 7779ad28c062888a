package guest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// memoryModule is a module that exports a memory of two pages, and nothing
// else.
var memoryModule = []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 5, 3, 1, 0, 2, 7, 10, 1, 6, 'm', 'e', 'm', 'o', 'r', 'y', 2, 0}

// A caller calls host functions as a guest would.
type caller struct {
	m   api.Module
	ctx context.Context
	d   *Databases
	vfs *vfscore.VFS
}

var byName = func() map[string]*function {
	m := make(map[string]*function)
	for _, f := range functions {
		m[f.name] = f
	}
	return m
}()

func (c *caller) call(f *function, args ...uint64) uint64 {
	stack := make([]uint64, max(len(f.params), 1))
	copy(stack, args)
	f.Call(c.ctx, c.m, stack)
	return stack[0]
}

func newCaller(t testing.TB) *caller {
	t.Helper()
	ctx := context.Background()
	store, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	m, err := r.Instantiate(ctx, memoryModule)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "blog", "secret"} {
		if _, err := store.Create(name, pagestore.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		r.Close(ctx)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &caller{m: m, ctx: ctx, vfs: vfscore.New(store, vfscore.Options{})}
}

// begin gives the guest fresh databases.
func (c *caller) begin(t testing.TB, o Options) {
	t.Helper()
	d, err := New(c.vfs, o, Grant{Path: "shop", Database: "shop"}, Grant{Path: "/db/blog", Database: "blog"},
		Grant{Path: "old", Database: "shop@0"}, Grant{Path: "optimistic", Database: "blog", Optimistic: true})
	if err != nil {
		t.Fatal(err)
	}
	c.d = d
	c.ctx = NewContext(context.Background(), d)
}

// end closes them and checks that nothing is left.
func (c *caller) end(t testing.TB) {
	t.Helper()
	if err := c.d.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range functions {
		if f.name != "sleep" {
			c.call(f) // fails and does nothing else
		}
	}
	if open := c.vfs.Open(); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
	for _, name := range []string{"shop", "blog"} {
		db, err := c.vfs.Store().Database(name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := db.TryWriter()
		if err != nil {
			t.Fatalf("the guest's lock is still there: %v", err)
		}
		w.Close()
	}
}

// Where the fuzzer's texts and buffers lie in the guest's memory.
const (
	textAt   = 1024
	headerAt = 4096
	outAt    = 16384
)

var texts = []string{"shop", "/db/blog", "old", "optimistic", "secret", "shop@0", "../secret", "shop-journal\x00", "/db/blog-journal\x00", "super-mj", "journal_mode", "busy_timeout", "1", "head", ""}

// prepare fills the guest's memory with things that calls can name.
func (c *caller) prepare(count uint32) {
	for i, s := range texts {
		c.m.Memory().WriteString(uint32(textAt+64*i), s)
	}
	page := make([]byte, 4096)
	copy(page, "SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20")
	binary.BigEndian.PutUint32(page[24:], 7)
	binary.BigEndian.PutUint32(page[28:], count)
	c.m.Memory().Write(headerAt, page)
}

// advance makes a guest that has got somewhere. pick returns a number below n.
func (c *caller) advance(pick func(n int) int) {
	for _, name := range []int{0, 1, 3} {
		c.call(byName["open"], uint64(pick(2)), uint64(textAt+64*name), uint64(len(texts[name])), 0, outAt)
		c.call(byName["lock"], uint64(pick(3)), 1)
		c.call(byName["lock"], uint64(pick(3)), 4)
		c.call(byName["journal"], uint64(pick(3)), outAt)
		c.call(byName["write"], uint64(pick(3)), headerAt, 4096, 0)
	}
}

// step makes one call that the bytes tell. Most arguments make sense one by one.
func (c *caller) step(b []byte) {
	f := functions[int(b[0])%len(functions)]
	if f.name == "sleep" {
		return
	}
	args := make([]uint64, len(f.params))
	for i := range args {
		v := b[1+i]
		text := int(v) % len(texts)
		switch {
		case v >= 250: // anything goes
			args[i] = []uint64{1 << 31, 1<<32 - 1, 1 << 63, 1<<63 - 1, 1 << 41, 131072}[v-250]
			if f.params[i] == i32 {
				args[i] &= 1<<32 - 1
			}
		case f.params[i] == i64:
			args[i] = uint64(v%8) * 4096 >> (v % 3)
		case i+1 < len(args) && (f.name == "granted" || f.name == "exists" || f.name == "delete" || f.name == "open" || f.name == "super" || f.name == "sync" || f.name == "pragma" || f.name == "at") && (i == 0 && len(f.params) < 4 && f.name != "sync" && f.name != "at" || i == 1 || i == 3 && f.name == "pragma"):
			args[i] = uint64(textAt + 64*text)
			args[i+1] = uint64(len(texts[text]))
			if i+2 <= len(args) && b[2+i] < 250 {
				b[2+i] = byte(len(texts[text])) // the length fits
			}
		case (f.name == "read" || f.name == "write") && i == 1:
			args[i] = headerAt
		case (f.name == "read" || f.name == "write") && i == 2:
			args[i] = []uint64{4096, 4096, 100, 16, 0, 8192}[v%6]
		case i == len(args)-1 && (f.name == "open" || f.name == "journal" || f.name == "super" || f.name == "temp" || f.name == "size"):
			args[i] = outAt
		default:
			args[i] = uint64(v % 8)
		}
	}
	c.call(f, args...)
	for _, s := range c.d.sessions {
		if s != nil {
			s.SetBusyTimeout(min(s.BusyTimeout(), time.Millisecond))
		}
	}
}

const stepLen = 9

func FuzzImports(f *testing.F) {
	for seed := range 20 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		b := make([]byte, stepLen*400)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b)
	}
	c := newCaller(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c.begin(t, Options{MaxFiles: 20, MaxTemp: 1 << 20, MaxSize: 1 << 20})
		c.prepare(2)
		if len(b)%2 == 0 {
			c.advance(func(n int) int { return n - 1 })
		}
		for ; len(b) >= stepLen; b = b[stepLen:] {
			c.step(append([]byte(nil), b[:stepLen]...))
		}
		c.end(t)
	})
}

// TestRandomImports does the same with more calls, of which most succeed.
func TestRandomImports(t *testing.T) {
	c := newCaller(t)
	r := rand.New(rand.NewPCG(3, 3))
	reached := make(map[string]int)
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for range rounds {
		c.begin(t, Options{MaxFiles: 20, MaxTemp: 1 << 20, MaxSize: 1 << 20})
		c.prepare(uint32(r.IntN(4)))
		c.advance(r.IntN)
		for range 200 {
			b := make([]byte, stepLen)
			for i := range b {
				b[i] = byte(r.IntN(256))
			}
			c.step(b)
			if c.d.err != nil {
				reached["errors"]++
			}
			for _, f := range c.d.files {
				if f != nil && f.main != nil && f.main.Reserved() {
					reached["writers"]++
				}
				if f != nil && f.super {
					reached["super-journals"]++
				}
			}
		}
		c.end(t)
	}
	if reached["errors"] == 0 || reached["writers"] == 0 || reached["super-journals"] == 0 {
		t.Errorf("the calls did not get far: %v", reached)
	}
	db, err := c.vfs.Store().Database("secret")
	if err != nil || db.Head().Version != 0 {
		t.Errorf("secret changed: %v", err)
	}
}
