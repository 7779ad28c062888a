package offline

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hako-run/hako/proxywasm"
)

// listed is a message as text.
func listed(m *Message) string {
	var b strings.Builder
	for f := range m.Headers.All() {
		b.WriteString(f.Name + "=" + f.Value + " ")
	}
	b.WriteString("|" + string(m.Body) + "|")
	if m.Trailers != nil {
		for f := range m.Trailers.All() {
			b.WriteString(f.Name + "=" + f.Value + " ")
		}
	}
	return b.String()
}

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n":                                                                     ":method=GET :path=/ :scheme=http :authority=a.test ||",
		"GET /?q HTTP/1.1\nHost: a.test":                                                                             ":method=GET :path=/?q :scheme=http :authority=a.test ||",
		"GET https://b.test/x HTTP/1.1\nHost: a.test\n":                                                              ":method=GET :path=/x :scheme=https :authority=b.test ||",
		"POST / HTTP/1.1\nHost: a\nB: 1\nA: 2\nA: 3\n\nbody\n":                                                       ":method=POST :path=/ :scheme=http :authority=a a=2 a=3 b=1 |body\n|",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nbody":                                                        ":method=POST :path=/ :scheme=http :authority=a content-length=3 |bod|",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nx":                                                   ":method=POST :path=/ :scheme=http :authority=a content-length=0 ||",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n": ":method=POST :path=/ :scheme=http :authority=a transfer-encoding=chunked |hi|x=y ",
	} {
		m, err := ParseRequest([]byte(text))
		if err != nil || listed(m) != want {
			t.Errorf("%q: %v, %v", text, m, err)
			if err == nil {
				t.Error(listed(m))
			}
		}
	}
	for _, text := range []string{"", "hello", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", "HTTP/1.1 200 OK\r\n\r\n", "GET / HTTP/1.1\r\nbad\r\n\r\n"} {
		if m, err := ParseRequest([]byte(text)); !errors.Is(err, ErrMessage) {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}

func TestParseResponse(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 204 No Content\n":                         ":status=204 ||",
		"HTTP/1.1 200 OK\nServer: x\n\nto the end\n":        ":status=200 server=x |to the end\n|",
		"HTTP/1.1 404 Not\r\nContent-Length: 2\r\n\r\nnope": ":status=404 content-length=2 |no|",
	} {
		m, err := ParseResponse([]byte(text))
		if err != nil || listed(m) != want {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"} {
		if m, err := ParseResponse([]byte(text)); !errors.Is(err, ErrMessage) {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}

func TestRead(t *testing.T) {
	for _, text := range []string{"", "\n\n", "{", `{"kind":"other"}`, `{"kind":"call"} x`, "[]"} {
		if e, err := Read(strings.NewReader(text)); !errors.Is(err, ErrRecording) {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
}

// FuzzMessage: any text is a message or none.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\nHost: a\n\nbody"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) (*Message, error){ParseRequest, ParseResponse} {
			m, err := parse(text)
			if (m == nil) == (err == nil) || err != nil && !errors.Is(err, ErrMessage) {
				t.Errorf("%v, %v", m, err)
			}
		}
	})
}

// FuzzDescribe: any recording that Read takes can be told, in one line for
// each event, and written again.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte(`{"kind":"call","name":"proxy_log","args":[2,8,3],"in":[{"pointer":8,"data":"YWJj"}]}`))
	f.Add([]byte(`{"kind":"call","name":"proxy_get_header_map_pairs","args":[0,8,12],"out":[{"pointer":8,"size":12,"alloc":true,"data":"AQAAAAEAAAABAAAAYQBiAA=="}]}`))
	f.Add([]byte(`{"kind":"enter","name":"proxy_on_request_headers","args":[2,4,1]}` + "\n" + `{"kind":"leave","name":"proxy_on_request_headers","result":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Write(&b, events); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&b)
		if err != nil || len(again) != len(events) {
			t.Fatalf("%d events and then %d: %v", len(events), len(again), err)
		}
		for i, e := range events {
			if Describe(e) != Describe(again[i]) {
				t.Errorf("%q and then %q", Describe(e), Describe(again[i]))
			}
		}
	})
}

// TestDescribeAll: each function of the host, and each callback, is known with
// the arguments that it has.
func TestDescribeAll(t *testing.T) {
	for name, s := range functions {
		words := 0
		for _, a := range s {
			words += a.kind.words()
		}
		e := &proxywasm.Event{Kind: proxywasm.Call, Name: name, Args: make([]uint64, words)}
		if text := Describe(e); !strings.HasPrefix(text, name+"(") || strings.Contains(text, ", 0, 0") && name != "abort" {
			t.Errorf("%s: %s", name, text)
		}
	}
}
