package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/app"
)

func TestScript(t *testing.T) {
	out, err := exec.Command("./build.sh").Output()
	if err != nil {
		t.Fatalf("fetch Ruby: %v", err)
	}
	module := strings.TrimSpace(string(out))
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "input.txt"), []byte("a\tb c\nd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dirs := []app.DirGrant{{Host: "testdata", Guest: "/scripts", ReadOnly: true}, {Host: data, Guest: "/data"}}
	var stdout, stderr bytes.Buffer
	code, err := run(context.Background(), dirs, module, "/scripts/report.rb", []string{"-n", "O'Hako"}, strings.NewReader(""), &stdout, &stderr)
	want := `Hello O'Hako: 2 rows
4f749cff5071b84e4b217d6144c653f3fdc5da5740209ba894a9178fcbe2d38d
2026-11-22T00:00:00Z
[0, 2, 8, 34, 144, 610, 2584, 10946]
Errno::ENOENT
caught
515377520732011332304111729993850674198810727378
`
	if code != 3 || err != nil || stdout.String() != want || stderr.String() != "to stderr\n" {
		t.Errorf("exit code %d, %v\n%s\nwant\n%s\nstderr: %s", code, err, &stdout, want, &stderr)
	}
	b, err := os.ReadFile(filepath.Join(data, "output.json"))
	if err != nil || !strings.Contains(string(b), `"words": [`) {
		t.Errorf("%s, %v", b, err)
	}

	stdout.Reset()
	code, err = run(context.Background(), nil, module, "-", nil, strings.NewReader("def f(x) = x * 2\nputs f(21)\nputs __FILE__\n"), &stdout, &stderr)
	if code != 0 || err != nil || stdout.String() != "42\n-\n" {
		t.Errorf("from standard input: exit code %d, %v, %q", code, err, &stdout)
	}
	code, err = run(context.Background(), nil, module, "-", nil, strings.NewReader("def"), &stdout, &stderr)
	if code != 1 || err != nil || !strings.Contains(stderr.String(), "syntax error") {
		t.Errorf("a syntax error: exit code %d, %v, %q", code, err, &stderr)
	}
}
