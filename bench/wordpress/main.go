// Command wordpress measures one WordPress, with the same content, under
// Hako, with a fresh fork for each request and with instances that live on,
// and under nginx and php-fpm, with and without opcache; and, where it is
// given, under WordPress Playground's command line.
//
// Contenders take turns, several rounds over: each answers requests for a page
// as fast as it can to -clients clients. Printed are medians of all rounds:
// requests per second, processor time per request of all of a contender's
// processes, and both as multiples of php-fpm's with opcache. Memory is the
// proportional set size of these processes after 16 visitors at once.
//
// It is run by scripts/bench-wordpress.sh, which says where the tools are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

var (
	rounds   = flag.Int("rounds", 5, "rounds to take medians of")
	duration = flag.Duration("duration", 3*time.Second, "how long a contender is asked for a page in a round")
	clients  = flag.Int("clients", 2, "clients at the same time")
	only     = flag.String("only", "", "measure the contenders whose names match this regular expression")
	hako     = flag.String("hako", "bin/hako", "the hako command")
	php      = flag.String("php", "", "the folder with php-hako.wasm and php.wasm")
	fpm      = flag.String("fpm", "", "the php-fpm command; without it, it is left out")
	nginx    = flag.String("nginx", "nginx", "the nginx command")
	play     = flag.String("playground", "", "the wp-playground-cli script of npm's @wp-playground/cli; without it, it is left out")
)

const (
	user     = "ann"
	password = "pw of ann 4711"
)

// pages are what is measured; the last one as the owner, logged in.
var pages = []struct {
	name, path string
	login      bool
}{
	{"front page", "/", false},
	{"a post", "/?p=1", false},
	{"wp-admin", "/wp-admin/edit.php", true},
}

func main() {
	flag.Parse()
	dir, err := os.MkdirTemp("", "hako-bench-wordpress-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	database := content(ctx, dir)
	var all []*contender
	wanted, err := regexp.Compile(*only)
	check(err)
	add := func(there bool, name string, make func(name string) *contender) {
		if there && wanted.MatchString(name) {
			all = append(all, make(name))
		}
	}
	add(true, "hako, fork", func(name string) *contender { return newHako(dir, name, "request", database) })
	add(true, "hako, session", func(name string) *contender { return newHako(dir, name, "session", database) })
	add(*fpm != "", "php-fpm, opcache", func(name string) *contender { return newFPM(dir, name, true, database) })
	add(*fpm != "", "php-fpm, no opcache", func(name string) *contender { return newFPM(dir, name, false, database) })
	add(*play != "", "Playground CLI", func(name string) *contender { return newPlayground(dir, name, database) })
	for _, c := range all {
		check(c.start())
		defer c.stop()
		c.owner = visitor.New(c.url)
		check(c.owner.Login(ctx, user, password))
		// What is compiled once is compiled before.
		for range 2 {
			for _, p := range pages {
				_, err := c.owner.Read(ctx, p.path)
				check(err)
			}
		}
	}
	time.Sleep(15 * time.Second) // in which Hako makes its template anew
	for round := range *rounds {
		for i := range pages {
			for j := range all { // beginning with another each time
				all[(j+round)%len(all)].measure(ctx, i)
			}
		}
	}
	report(all)
	for _, c := range all {
		before := c.memory()
		c.visit(ctx, 16)
		fmt.Printf("memory, %-22s %5.0f MB at rest, %5.0f MB with 16 visitors\n", c.name, before, c.peak)
	}
}

// measure asks a contender for a page.
func (c *contender) measure(ctx context.Context, page int) {
	p := pages[page]
	var done atomic.Int64
	var all sync.WaitGroup
	cpu, began := c.cpu(), time.Now()
	for range *clients {
		all.Go(func() {
			v := visitor.New(c.url)
			defer v.Close()
			if p.login {
				v.Share(c.owner)
			}
			for time.Since(began) < *duration {
				_, err := v.Read(ctx, p.path)
				check(err)
				done.Add(1)
			}
		})
	}
	all.Wait()
	spent := time.Since(began)
	c.rates[page] = append(c.rates[page], float64(done.Load())/spent.Seconds())
	c.times[page] = append(c.times[page], float64(c.cpu()-cpu)/float64(time.Millisecond)/float64(done.Load()))
}

// visit has visitors read the site at once, and notes the most memory.
func (c *contender) visit(ctx context.Context, n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			v := visitor.New(c.url)
			defer v.Close()
			for i := range 4 {
				_, err := v.Read(ctx, pages[i%2].path)
				check(err)
			}
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	for {
		c.peak = max(c.peak, c.memory())
		select {
		case <-over:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func report(all []*contender) {
	var base *contender
	for _, c := range all {
		if c.name == "php-fpm, opcache" {
			base = c
		}
	}
	for i, p := range pages {
		fmt.Printf("\n%s\n", p.name)
		for _, c := range all {
			rate, ms := median(c.rates[i]), median(c.times[i])
			fmt.Printf("  %-22s %7.1f requests/s  %7.1f ms of processor time", c.name, rate, ms)
			if base != nil {
				fmt.Printf("   %5.2f x the requests, %5.2f x the time", rate/median(base.rates[i]), ms/median(base.times[i]))
			}
			fmt.Println()
		}
	}
	fmt.Println()
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// started has the process groups of servers that run, which must not outlive a
// failure.
var started sync.Map

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench wordpress:", err)
		started.Range(func(group, _ any) bool {
			_ = syscall.Kill(-group.(int), syscall.SIGTERM)
			return true
		})
		os.Exit(1)
	}
}

// content makes a site with something to read, by Hako, and returns its
// database as a file.
func content(ctx context.Context, dir string) string {
	c := newHako(dir, "content", "request", "")
	check(c.start())
	defer c.stop()
	v := visitor.New(c.url)
	defer v.Close()
	check(v.Install(ctx, "Benchmark", user, password))
	check(v.Login(ctx, user, password))
	const lorem = "<!-- wp:paragraph --><p>It was a clear day, and the hills stood as if cut from paper. We walked until noon, ate what there was, and went on along the river, which was low for the season.</p><!-- /wp:paragraph -->"
	for i := range 10 {
		check(v.REST(ctx, "POST", "/wp/v2/posts", map[string]any{
			"title": fmt.Sprintf("Day %d in the hills", i+1), "content": strings.Repeat(lorem, 8), "status": "publish",
		}, nil))
	}
	for i := range 5 {
		check(v.REST(ctx, "POST", "/wp/v2/comments", map[string]any{
			"post": 1, "author_name": fmt.Sprintf("visitor%d", i), "author_email": fmt.Sprintf("visitor%d@example.com", i), "content": fmt.Sprintf("What a fine walk that was, number %d.", i),
		}, nil))
	}
	file := filepath.Join(dir, "content.sqlite")
	check(run(*hako, "--data", filepath.Join(c.dir, ".hako"), "db", "export", "content", file))
	return file
}
