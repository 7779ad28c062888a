package server

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// TestFilteredStream: connections pass the filters of their stream; a reload
// gives new ones other filters, and leaves those that are open theirs.
func TestFilteredStream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	s := newFilterSite(t)
	header := "../../guest/c/proxy_wasm.h"
	s.module = guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "../../proxywasm/filter/testdata/tcp.c"}, header)
	text := "[[upstream]]\nname = 'tcp'\nurl = 'tcp://" + l.Addr().String() + "'\n[[filter]]\nname = 'f'\nMODULE\nconfig = 'upper'\n" +
		"[[stream]]\nname = 's'\nlisten = '127.0.0.1:0'\nupstream = 'tcp'\nfilters = ['f', { name = 'f', config = 'tag:1' }]\n"
	s.start(text)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.gate.StreamAddresses()[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	talk := func(c net.Conn, send, want string) {
		t.Helper()
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(want))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
			t.Errorf("got %q, %v, want %q", b, err, want)
		}
	}
	old := dial()
	talk(old, "hello", "HELLO11")
	if err := s.Reload(t.Context(), s.config(strings.Replace(text, "tag:1", "tag:2", 1))); err != nil {
		t.Fatal(err)
	}
	next := dial()
	talk(next, "hello", "HELLO22")
	talk(old, "again", "AGAIN11")
	_ = old.Close()
	waitUntil(t, "the plugin before ends", func() bool {
		s.filters.mu.Lock()
		defer s.filters.mu.Unlock()
		return len(s.filters.totals) == 1
	})
	talk(next, "on", "ON22")
	_ = next.Close()
	waitUntil(t, "the connection is logged", func() bool {
		return strings.Count(s.access.String(), `"stream":"s","end":"done"`) == 2
	})
}
