package php

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// The modules in the folder that [Build] returns.
const (
	CLI    = "php.wasm"      // php, as a command
	CGI    = "php-cgi.wasm"  // php-cgi, for CGI/1.1
	Worker = "php-hako.wasm" // answers requests by the worker protocol
)

// Build makes PHP with build/build.sh, if that was not done before, and
// returns the folder that its modules are in. The first time takes minutes
// and fetches Debian's source packages. The source tree must be there: this
// is for tests and examples. $HAKO_PHP names a folder to take instead.
var Build = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("HAKO_PHP"); dir != "" {
		return dir, nil
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "build/build.sh")
	cmd := exec.Command(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := stderr.String()
		return "", fmt.Errorf("build PHP with %s: %w\n%s", script, err, text[max(0, len(text)-4000):])
	}
	return strings.TrimSpace(string(out)), nil
})
