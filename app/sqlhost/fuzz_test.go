package sqlhost

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// memoryOnly is a module with one page of memory, exported as "memory".
var memoryOnly = []byte("\x00asm\x01\x00\x00\x00\x05\x04\x01\x01\x01\x01\x07\x0a\x01\x06memory\x02\x00")

func memoryModule(t testing.TB) api.Module {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { r.Close(ctx) })
	m, err := r.Instantiate(ctx, memoryOnly)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testStore(t testing.TB) *pagestore.Store {
	t.Helper()
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create("shop", pagestore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqlite.Detach(s); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s
}

var fuzzSQL = []string{
	"SELECT 1, 'text', x'00', NULL, 2.5", "CREATE TABLE IF NOT EXISTS t(a, b)", "INSERT INTO t VALUES(?, :b)", "SELECT * FROM t",
	"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SELECT * FROM t; DELETE FROM t; SELECT count(*) FROM t", "-- ", "DROP TABLE t", "SAVEPOINT a",
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) SELECT i, zeroblob(i) FROM n", "PRAGMA user_version=?", "shop",
}

// FuzzCalls makes any calls with any arguments: none may panic, and nothing
// may be left of them.
func FuzzCalls(f *testing.F) {
	f.Add([]byte{0, 14, 0, 0, 0, 3, 1, 1, 0, 0, 4, 0, 3, 0, 0, 5, 9, 1, 2, 3, 6, 7, 8, 2, 1})
	f.Add([]byte{0, 14, 0, 0, 4, 5, 0, 0, 3, 1, 0, 0, 3, 2, 0, 0, 4, 3, 0, 0})
	f.Add([]byte{0, 14, 0, 0, 4, 12, 0, 0, 5, 255, 255, 1, 5, 0, 0, 2, 6, 0, 0, 0, 1, 0, 0, 0})
	m := memoryModule(f)
	s := testStore(f)
	pool := NewPool(s, Options{BusyTimeout: time.Millisecond, MaxCursors: 3, MaxConnections: 3})
	f.Cleanup(func() { pool.Close() })
	calls := []function{{open, 3}, {closeConnection, 1}, {prepare, 4}, {exec, 7}, {query, 8}, {next, 5}, {finish, 2}, {state, 1}, {lastError, 2}}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := pool.Databases(Grant{Path: "/db/shop", Database: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ctx = NewContext(ctx, d)
		var handles []int32 // of connections and cursors
		pick := func(v byte) uint64 {
			if len(handles) == 0 || v > 250 {
				return uint64(v) << 24
			}
			return uint64(uint32(handles[int(v)%len(handles)]))
		}
		for len(b) >= 4 {
			which, text, x, y := int(b[0])%len(calls), b[1], b[2], b[3]
			b = b[4:]
			stack := make([]uint64, 8)
			sql := fuzzSQL[int(text)%len(fuzzSQL)]
			m.Memory().WriteString(1024, sql)
			args := uint64(0)
			if x%3 > 0 && len(b) > 0 { // arguments that are right, or whatever follows
				block := binary.LittleEndian.AppendUint32(nil, 2)
				block = append(block, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 'b', 2, 0, 0, 0, 'x', 'y')
				if x%3 == 2 {
					block = b[:min(len(b), 40)]
				}
				m.Memory().Write(4096, block)
				args = uint64(len(block))
			}
			size := uint64(y) << (y % 10)
			switch which {
			case 0:
				copy(stack, []uint64{1024, uint64(len(sql)), uint64(x)})
			case 1, 7:
				stack[0] = pick(x)
			case 2:
				copy(stack, []uint64{pick(x), 1024, uint64(len(sql)), uint64(y)})
			case 3:
				copy(stack, []uint64{pick(x), 1024, uint64(len(sql)), 4096, args, 0, 8192})
			case 4:
				copy(stack, []uint64{pick(x), 1024, uint64(len(sql)), 4096, args, 0, 16384, size})
			case 5:
				copy(stack, []uint64{pick(x), pick(y), 0, 16384, size})
			case 6:
				copy(stack, []uint64{pick(x), pick(y)})
			case 8:
				copy(stack, []uint64{1024, uint64(x)})
			}
			if y > 240 { // pointers and lengths that are wrong
				stack[int(x)%8] = uint64(y) << 25
			}
			calls[which].Call(ctx, m, stack)
			n := int32(uint32(stack[0]))
			if which == 0 && n > 0 {
				handles = append(handles, n)
			}
			if which == 4 && n >= headSize {
				if cursor, ok := m.Memory().ReadUint32Le(16384); ok && cursor != 0 {
					handles = append(handles, int32(cursor))
				}
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		db, err := s.Database("shop")
		if err != nil {
			t.Fatal(err)
		}
		w, err := db.TryWriter()
		if err != nil {
			t.Fatal("the lock of a writer is left:", err)
		}
		w.Close()
	})
}

func TestTooManyArguments(t *testing.T) {
	b := binary.LittleEndian.AppendUint32(nil, maxArguments+1)
	for range maxArguments + 1 {
		b = append(b, typeNull, 0)
	}
	if list, err := parseArguments(b); err == nil {
		t.Errorf("%d arguments pass", len(list))
	}
	binary.LittleEndian.PutUint32(b, maxArguments)
	if list, err := parseArguments(b[:len(b)-2]); err != nil || len(list) != maxArguments {
		t.Errorf("%d arguments: %v", len(list), err)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 3, 1, 'x', 2, 0, 0, 0, 'h', 'i'})
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{2, 0, 0, 0, 5, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseArguments(b)
		if err != nil {
			return
		}
		size := 0
		for _, a := range list {
			size += len(a.name) + len(a.bytes)
		}
		if size > len(b) || len(list) > len(b) {
			t.Errorf("%d arguments of %d bytes are in a block of %d", len(list), size, len(b))
		}
	})
}

func TestBlank(t *testing.T) {
	for sql, want := range map[string]bool{
		"": true, " ;\n\t;": true, "-- x": true, "-- x\n ;": true, "/* x */ -- y": true, "/* x": true, "/**/": true,
		"/*/ x": true, "/* x */ SELECT": false, "- 1": false, "/": false, "-- x\n1": false,
	} {
		if got := blank([]byte(sql)); got != want {
			t.Errorf("blank(%q) is %v", sql, got)
		}
	}
}

// TestBlocks reads a result by blocks of every size.
func TestBlocks(t *testing.T) {
	s := testStore(t)
	pool := NewPool(s, Options{})
	defer pool.Close()
	d, err := pool.Databases(Grant{Path: "/db/shop", Database: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx := context.Background()
	n, err := d.connect(ctx, "shop", 0)
	if err != nil {
		t.Fatal(err)
	}
	sql := []byte("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9) SELECT i AS one, zeroblob(i*3) AS two FROM n")
	for size := headSize; size < 400; size += 3 {
		rows, columns, calls := 0, 0, 0
		to := make([]byte, size)
		got, err := d.query(ctx, n, 0, sql, nil, to)
		for {
			calls++
			if err != nil {
				t.Fatal(size, err)
			}
			cursor := int32(binary.LittleEndian.Uint32(to))
			if got > len(to) {
				to = make([]byte, got)
			} else {
				columns += int(binary.LittleEndian.Uint32(to[4:]))
				rows += int(binary.LittleEndian.Uint32(to[8:]))
				if cursor == 0 {
					break
				}
			}
			got, err = d.next(ctx, n, cursor, 0, to)
		}
		if rows != 9 || columns != 2 || calls > 20 {
			t.Fatalf("blocks of %d bytes: %d rows, %d columns, %d calls", size, rows, columns, calls)
		}
	}
	if len(d.open[n].cursors) != 0 {
		t.Errorf("%d cursors are left", len(d.open[n].cursors))
	}
}

// BenchmarkOpen measures what a request pays for its connection.
func BenchmarkOpen(b *testing.B) {
	s := testStore(b)
	pool := NewPool(s, Options{})
	defer pool.Close()
	ctx := context.Background()
	for _, kind := range []string{"pooled", "new"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				d, err := pool.Databases(Grant{Path: "/db/shop", Database: "shop"})
				if err != nil {
					b.Fatal(err)
				}
				n, err := d.connect(ctx, "shop", 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := d.exec(ctx, n, 0, []byte("SELECT count(*) FROM sqlite_schema"), nil); err != nil {
					b.Fatal(err)
				}
				d.open[n].c.dirty = kind == "new"
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
