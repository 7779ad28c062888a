package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// A client that goes away ends its guest, unless the guest persists.
func TestServicePersist(t *testing.T) {
	guest := guestbuild.C(t, []string{"-O1", "-mexec-model=reactor", "-I../guest/c", "testdata/persist.c"}, "../guest/c/hako_http.h")
	for _, path := range []string{"/end", "/persist"} {
		s, url, log := serve(t, guest, ServiceConfig{Name: "site"})
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		for running, _ := s.Running(); running > 0; running, _ = s.Running() {
			time.Sleep(time.Millisecond)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got, want := strings.Contains(log.String(), "went on"), path == "/persist"; got != want {
			t.Errorf("%s: went on: %v\n%s", path, got, log)
		}
		if len(s.left) > 0 {
			t.Errorf("%s: %d guests are noted that ended", path, len(s.left))
		}
	}
}
