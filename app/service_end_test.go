package app

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// Guests that go on after their response do not hold up the service's end for
// longer than the grace.
func TestServiceGrace(t *testing.T) {
	guest := guestbuild.Go(t, site, "-buildmode=c-shared")
	for _, path := range []string{"/finish-on", "/finish-on?sleep=1"} {
		s, url, log := serve(t, guest, ServiceConfig{Name: "site", Grace: 50 * time.Millisecond})
		if _, body, err := fetch(t, "GET", url+path, ""); err != nil || body != "done" {
			t.Fatalf("%q, %v", body, err)
		}
		if running, _ := s.Running(); running != 1 {
			t.Errorf("%s: %d guests go on", path, running)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the service does not end", path)
		}
		if !strings.Contains(log.String(), errGrace.Error()) {
			t.Errorf("%s: the log does not say so:\n%s", path, log)
		}
		if n, u := s.Instances(), s.Usage(); n != 0 || u.Memory != 0 {
			t.Errorf("%s: %d instances have %d bytes after the end", path, n, u.Memory)
		}
	}
}

// The memory that is told is that of the instances there are.
func TestServiceMemory(t *testing.T) {
	guest := guestbuild.Go(t, site, "-buildmode=c-shared")
	forks, url, _ := serve(t, guest, ServiceConfig{Name: "site", Grace: time.Millisecond})
	if n, u := forks.Instances(), forks.Usage(); n != 0 || u.Memory != 0 {
		t.Errorf("before any request: %d instances, %d bytes", n, u.Memory)
	}
	for range 2 {
		fetch(t, "GET", url+"/finish-on?sleep=1", "")
	}
	n, two := forks.Instances(), forks.Usage()
	if n != 2 || two.Memory < 2<<16 || two.Memory%(2<<16) != 0 {
		t.Errorf("two requests: %d instances, %d bytes", n, two.Memory)
	}
	if forks.Usage().CPU < two.CPU {
		t.Error("processor time went back")
	}

	session, _, _ := serve(t, guest, ServiceConfig{Name: "site", Session: true, Instances: 1})
	var rec Record
	session.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/hello", nil), Call{}, &rec)
	if u := session.Usage(); session.Instances() != 1 || u.Memory == 0 || u.Memory > rec.Memory {
		t.Errorf("a session's instance: %d, %d bytes, %d at most", session.Instances(), u.Memory, rec.Memory)
	}
}
