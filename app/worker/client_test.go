package worker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// An interruption that comes too late harms neither the process nor the
// request that has the connection by then.
func TestInterruptAfterEnd(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var clients []*Client
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, c := range clients {
				c.Interrupt()
			}
			c := NewClient(w)
			_ = c.Reading(func() { io.Copy(io.Discard, r.Body) })
			clients = append(clients, c)
			if err := c.Writing(func() { io.WriteString(w, "whole") }); err != nil {
				t.Error(err)
			}
			c.End()
		}))
		server.EnableHTTP2 = h2
		server.StartTLS()
		for range 3 {
			resp, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != "whole" || err != nil || h2 != (resp.ProtoMajor == 2) {
				t.Errorf("%s: %q, %v", resp.Proto, b, err)
			}
		}
		server.Close()
		for _, c := range clients {
			c.Interrupt()
			if err := c.Reading(func() { t.Error("read") }); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Error(err)
			}
		}
	}
}

// A wait for a body that does not come is ended, and the answer is sent.
func TestInterruptReading(t *testing.T) {
	var left error
	ended := make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := NewClient(w)
		in := make(chan bool)
		go func() { <-in; c.Interrupt() }()
		err := c.Reading(func() {
			close(in)
			_, left = r.Body.Read(make([]byte, 10))
		})
		if r.URL.Path == "/left" { // by another goroutine, at the end
			c = NewClient(w)
			in := make(chan bool)
			go func() {
				_ = c.Reading(func() { close(in); r.Body.Read(make([]byte, 10)) })
				ended <- true
			}()
			<-in
			c.End()
			c.mu.Lock()
			if c.reading {
				t.Error("a read is under way after End")
			}
			c.mu.Unlock()
		}
		if err != nil || !errors.Is(left, os.ErrDeadlineExceeded) {
			t.Errorf("%v, %v", err, left)
		}
		if err := c.Reading(func() { t.Error("read") }); err == nil {
			t.Error("no error after the interruption")
		}
		http.Error(w, "too slow", http.StatusGatewayTimeout)
	}))
	defer server.Close()
	for _, path := range []string{"/", "/left"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
		b, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(b), "HTTP/1.1 504 ") {
			t.Errorf("%q", b)
		}
	}
	<-ended
}

func TestExchangeBounds(t *testing.T) {
	exchange := func() *Exchange {
		return NewExchange(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	for _, lengths := range [][]string{{"5", "6"}, {"5", "5"}, {"+5"}, {"-1"}, {"x"}, {""}, {"99999999999999999999"}} {
		var fields []field
		for _, v := range lengths {
			fields = append(fields, field{"content-Length", v})
		}
		if err := exchange().respond(200, fields); !errors.Is(err, errFields) {
			t.Errorf("Content-Length %q: %v", lengths, err)
		}
	}
	x := exchange()
	if err := x.respond(200, []field{{"Content-Length", "5"}}); err != nil {
		t.Error(err)
	}
	part := []field{{"A", strings.Repeat("x", 1000)}}
	var err error
	for i := 0; err == nil; i++ {
		if err = x.trailers(part); i > 1000 {
			t.Fatal("trailers without end")
		}
	}
	x = exchange()
	x.w.Header().Set("Alt-Svc", "ours")
	for err = nil; err == nil; {
		err = x.respond(103, []field{{"Alt-Svc", "theirs"}, {"Link", "a"}})
	}
	if h := x.w.Header(); !errors.Is(err, errOrder) || len(h) != 1 || h.Get("Alt-Svc") != "ours" {
		t.Errorf("%v; header %v", err, h)
	}
	// What does not fit is refused before anything was sent.
	x.Output = 10
	if _, err := x.write(make([]byte, 11)); err == nil || x.status != 0 {
		t.Errorf("status %d, %v", x.status, err)
	}
}
