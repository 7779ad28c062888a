package phpt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Sets are the folders of PHP's source tree whose tests are run.
var Sets = []string{
	"Zend/tests", "tests/basic", "tests/classes", "tests/func", "tests/lang", "tests/output", "tests/security", "tests/strings",
	"ext/bcmath", "ext/calendar", "ext/ctype", "ext/date", "ext/dom", "ext/exif", "ext/fileinfo", "ext/filter", "ext/gd",
	"ext/hash", "ext/iconv", "ext/json", "ext/libxml", "ext/mbstring", "ext/opcache", "ext/openssl", "ext/pcre", "ext/pdo",
	"ext/pdo_sqlite", "ext/phar", "ext/random", "ext/reflection", "ext/session", "ext/simplexml", "ext/sodium", "ext/spl",
	"ext/sqlite3", "ext/standard", "ext/tokenizer", "ext/xml", "ext/xmlreader", "ext/xmlwriter", "ext/zip", "ext/zlib",
}

// Set returns the set that a test belongs to.
func Set(test string) string {
	for _, set := range Sets {
		if strings.HasPrefix(test, set+"/") {
			return set
		}
	}
	return ""
}

// Find lists the tests of a source tree below a folder or file of it.
func Find(source, below string) (tests []string, err error) {
	err = filepath.WalkDir(filepath.Join(source, filepath.FromSlash(below)), func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(file, ".phpt") {
			name, _ := filepath.Rel(source, file)
			tests = append(tests, filepath.ToSlash(name))
		}
		return err
	})
	return tests, err
}

// A Suite runs tests.
type Suite struct {
	Source   string // PHP's source tree
	On       Interpreter
	Workers  int                             // trees at a time
	Progress func(r Result, done, total int) // called as tests end, one at a time; may be nil
}

// Run runs tests and returns their results in the order of their names. The
// trees are temporary folders.
func (s *Suite) Run(ctx context.Context, tests []string) (results []Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next atomic.Int64
	)
	failed := func(e error) {
		mu.Lock()
		defer mu.Unlock()
		err = errors.Join(err, e)
		cancel()
	}
	for range s.Workers {
		wg.Go(func() {
			root, e := os.MkdirTemp("", "hako-phpt-")
			if e != nil {
				failed(e)
				return
			}
			defer os.RemoveAll(root)
			if e := s.copy(root, tests); e != nil {
				failed(e)
				return
			}
			tree, e := NewTree(ctx, root, s.On)
			if e != nil {
				failed(e)
				return
			}
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(tests) {
					return
				}
				t, e := Load(s.Source, tests[i])
				r := Result{Test: tests[i], Outcome: Skipped}
				switch {
				case errors.Is(e, ErrMalformed), errors.Is(e, fs.ErrNotExist):
					r.Reason = e.Error()
				case e != nil:
					failed(e)
					return
				default:
					r = tree.Run(ctx, t)
				}
				mu.Lock()
				results = append(results, r)
				if s.Progress != nil {
					s.Progress(r, len(results), len(tests))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.Test, b.Test) })
	return results, errors.Join(err, ctx.Err())
}

// copy copies the folders that tests are in, with those that they refer to.
func (s *Suite) copy(root string, tests []string) error {
	folders := map[string]bool{"ext/pdo/tests": true, "ext/standard/tests/http": true, "sapi/cli/tests": true}
	for _, test := range tests {
		set := Set(test)
		if set == "" {
			return fmt.Errorf("test %s is in none of the sets", test)
		}
		if strings.HasPrefix(set, "ext/") {
			set += "/tests"
		}
		folders[set] = true
	}
	for folder := range folders {
		if parent := path.Dir(folder); parent != "." && folders[parent] {
			continue
		}
		from := filepath.Join(s.Source, filepath.FromSlash(folder))
		if err := os.CopyFS(filepath.Join(root, filepath.FromSlash(folder)), os.DirFS(from)); err != nil {
			return fmt.Errorf("copy PHP's tests: %w", err)
		}
	}
	return nil
}
