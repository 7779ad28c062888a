package phpt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	"ext/pdo_sqlite", "ext/phar", "ext/random", "ext/reflection", "ext/session", "ext/simplexml", "ext/soap", "ext/sodium", "ext/spl",
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
	Workers  int                             // tests at a time
	Progress func(r Result, done, total int) // called as tests end, one at a time; may be nil
}

// Run runs tests in a temporary copy of their folders and returns their results
// in the order of their names; those that there are, with an error. The tests
// of a folder, which may use the same files, are run one after the other.
func (s *Suite) Run(ctx context.Context, tests []string) (results []Result, err error) {
	root, err := os.MkdirTemp("", "hako-phpt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	if err := s.copy(root, tests); err != nil {
		return nil, err
	}
	work := folders(tests)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // of results and Progress
		next atomic.Int64
	)
	add := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		results = append(results, r)
		if s.Progress != nil {
			s.Progress(r, len(results), len(tests))
		}
	}
	for range s.Workers {
		wg.Go(func() {
			tree, err := NewTree(ctx, root, s.On)
			if err != nil {
				cancel(err)
				return
			}
			for i := int(next.Add(1)) - 1; i < len(work); i = int(next.Add(1)) - 1 {
				for _, name := range work[i] {
					t, err := Load(s.Source, name)
					switch {
					case ctx.Err() != nil:
						return
					case errors.Is(err, ErrMalformed), errors.Is(err, fs.ErrNotExist):
						add(Result{Test: name, Outcome: Skipped, Reason: err.Error()})
					case err != nil:
						cancel(err)
					default:
						if r := tree.Run(ctx, t); ctx.Err() == nil {
							add(r)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.Test, b.Test) })
	return results, context.Cause(ctx)
}

// folders groups tests by their folder, the largest first.
func folders(tests []string) (list [][]string) {
	in := map[string][]string{}
	for _, t := range tests {
		in[path.Dir(t)] = append(in[path.Dir(t)], t)
	}
	list = slices.Collect(maps.Values(in))
	slices.SortFunc(list, func(a, b []string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a[0], b[0]))
	})
	return list
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
