package phpt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Command is a run of PHP.
type Command struct {
	Root           string // the tree on the host; the interpreter begins in it
	CGI            bool   // php-cgi, not php
	Args           []string
	Env            []string
	Stdin          []byte
	Stdout, Stderr io.Writer // nil: nowhere
}

// An Interpreter is a PHP that tests run on. Its methods are called from
// several goroutines.
type Interpreter interface {
	// Prefix is what a tree's root is called by scripts, without a slash at
	// its end.
	Prefix(root string) string
	// Run runs a command to its end. An error says why it ended otherwise than
	// by itself.
	Run(ctx context.Context, c Command) error
	// Module is the file of an extension that can be loaded, "" if there is
	// none.
	Module(extension string) string
}

// extensions asks an interpreter what it has, in the names that tests use.
func extensions(ctx context.Context, in Interpreter, root string, env []string) ([]string, error) {
	var out bytes.Buffer
	err := in.Run(ctx, Command{Root: root, Env: env, Stdout: &out, Stderr: &out, Args: []string{"-d", "display_errors=0", "-r", "echo implode(',', get_loaded_extensions());"}})
	if err != nil || !strings.Contains(out.String(), ",") {
		return nil, fmt.Errorf("ask PHP for its extensions: %q, %w", out.String(), err)
	}
	list := strings.Split(strings.ToLower(out.String()), ",")
	if i := slices.Index(list, "zend opcache"); i >= 0 {
		list[i] = "opcache"
	}
	return list, nil
}
