//go:build unix

package phpt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A program of the machine gets what a test says; one that takes too long is
// ended with what it has started.
func TestNative(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"bin/php":     "#!/bin/sh\ncase $1 in sleep) sleep 1000 & wait;; kill) kill -9 $$;; esac\necho \"$1 $V $(pwd) $(cat)\"; exit 3",
		"bin/php-cgi": "#!/bin/sh\necho cgi", "opcache.so": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n := &Native{Dir: dir, Timeout: time.Minute}
	var out strings.Builder
	if err := n.Run(t.Context(), Command{Root: root, Args: []string{"a"}, Env: []string{"V=v"}, Stdin: []byte("in"), Stdout: &out}); err != nil || out.String() != "a v "+root+" in\n" {
		t.Errorf("%q, %v", &out, err)
	}
	out.Reset()
	if err := n.Run(t.Context(), Command{Root: root, CGI: true, Stdout: &out}); err != nil || out.String() != "cgi\n" {
		t.Errorf("%q, %v", &out, err)
	}
	if err := n.Run(t.Context(), Command{Root: root, Args: []string{"kill"}}); err == nil || !strings.Contains(err.Error(), "signal") {
		t.Error(err)
	}
	n.Timeout = 50 * time.Millisecond
	if err := n.Run(t.Context(), Command{Root: root, Args: []string{"sleep"}}); !errors.Is(err, errTimeout) {
		t.Error(err)
	}
	if n.Module("opcache") == "" || n.Module("gd") != "" || n.Prefix("/x") != "/x" {
		t.Error("wrong modules or prefix")
	}
}
