package wordpress_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

var loadFor = flag.Duration("load", 20*time.Second, "how long each half of the load takes")

const (
	owner         = "ann"
	ownerPassword = "pw of ann 4711"
	clients       = 16
)

// people makes users who may write posts, and lets everybody comment.
func people(t *testing.T, ctx context.Context, s *site) *visitor.Visitor {
	t.Helper()
	v := visitor.New(s.url)
	t.Cleanup(v.Close)
	if err := v.Install(ctx, "Load", owner, ownerPassword); err != nil {
		t.Fatal(err)
	}
	if err := v.Login(ctx, owner, ownerPassword); err != nil {
		t.Fatal(err)
	}
	for i := range clients / 2 {
		err := v.REST(ctx, "POST", "/wp/v2/users", map[string]any{
			"username": name(i), "email": name(i) + "@example.com", "password": name(i) + " pw 4711", "roles": []string{"author"},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	// Comments appear at once, however many one person leaves.
	p := s.run("exec", s.name(), "php", "-r", `require '/srv/wp-load.php';
		update_option('comment_moderation', '0'); update_option('comment_previously_approved', '0');
		update_option('comments_per_page', '100000'); update_option('page_comments', '0');
		file_put_contents('/srv/wp-content/mu-plugins/load.php', "<?php add_filter('comment_flood_filter', '__return_false', 100); add_filter('wp_is_comment_flood', '__return_false', 100);");
		echo 'set';`)
	if p != "set" {
		t.Fatalf("the options were not set: %q", p)
	}
	return v
}

func name(i int) string { return fmt.Sprintf("user%d", i) }

// A load is what clients do at the same time, and what they were told is done.
type load struct {
	s        *site
	requests atomic.Int64

	mu       sync.Mutex
	comments map[int]string // acknowledged, by number
	pending  map[string]bool
	problems []error
}

func (l *load) problem(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.problems) < 20 {
		l.problems = append(l.problems, err)
	}
}

// client does what one person does until ctx is done. Even ones log in, odd
// ones are visitors.
func (l *load) client(ctx context.Context, i int) {
	v := visitor.New(l.s.url)
	defer v.Close()
	fail := func(err error) bool {
		if err == nil {
			l.requests.Add(1)
			return false
		}
		if ctx.Err() == nil {
			l.problem(fmt.Errorf("client %d: %w", i, err))
		}
		return true
	}
	user := ""
	for n := 0; ctx.Err() == nil; n++ {
		if i%2 == 0 && n%4 == 0 {
			v.Logout()
			user = name(i / 2)
			if fail(v.Login(ctx, user, user+" pw 4711")) {
				user = ""
				continue
			}
			var me struct{ Name string }
			if err := v.REST(ctx, "GET", "/wp/v2/users/me", nil, &me); fail(err) {
				continue
			}
			if me.Name != user {
				l.problem(fmt.Errorf("client %d is logged in as %s and taken for %s", i, user, me.Name))
			}
		}
		text := fmt.Sprintf("remark %d of client %d, %x", n, i, rand.Uint64())
		author := fmt.Sprintf("visitor%d", i)
		l.mu.Lock()
		l.pending[text] = true
		l.mu.Unlock()
		number, err := v.Comment(ctx, 1, author, text)
		if !fail(err) {
			l.mu.Lock()
			if other, there := l.comments[number]; there {
				l.problems = append(l.problems, fmt.Errorf("comment %d was given to %q and to %q", number, other, text))
			}
			l.comments[number] = text
			l.mu.Unlock()
		}
		p, err := v.Read(ctx, "/?p=1")
		if fail(err) {
			continue
		}
		if user != "" && !strings.Contains(p.Body, "wp-admin/profile.php") {
			l.problem(fmt.Errorf("client %d is logged in as %s, and the page does not show it", i, user))
		}
		for j := range clients / 2 {
			if other := name(j); other != user && strings.Contains(p.Body, "Logged in as "+other) {
				l.problem(fmt.Errorf("client %d (%s) sees the page of %s", i, user, other))
			}
		}
		if _, err := v.Read(ctx, "/"); fail(err) {
			continue
		}
	}
}

// run has all clients at work for a time; kill ends the server in the middle
// of it.
func (l *load) run(t *testing.T, d time.Duration, kill bool) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { l.client(ctx, i) })
	}
	if kill {
		time.Sleep(d * 3 / 4)
		l.s.stop(syscall.SIGKILL)
		cancel()
	}
	all.Wait()
}

// Sixteen clients at once; then the server is killed, and every comment that
// was acknowledged is there.
func TestLoad(t *testing.T) {
	long(t)
	s := newSite(t)
	ctx := within(t, 10*time.Minute+2**loadFor)
	people(t, ctx, s)
	l := &load{s: s, comments: map[int]string{}, pending: map[string]bool{}}
	began := time.Now()
	l.run(t, *loadFor, false)
	for _, err := range l.problems {
		t.Error(err)
	}
	t.Logf("%d requests, %d comments in %.0f s", l.requests.Load(), len(l.comments), time.Since(began).Seconds())
	for _, line := range s.log.errors() {
		t.Errorf("the server logs: %.500s", line)
	}
	l.problems = nil
	l.run(t, *loadFor, true)
	for _, err := range l.problems {
		// What was under way when the server was killed is cut.
		if errors.Is(err, visitor.ErrPHP) {
			t.Error(err)
		}
	}
	s.up()
	there := map[int]string{}
	for line := range strings.Lines(s.run("exec", s.name(), "php", "-r", `$d = new PDO('sqlite:/db/site.sqlite');
		foreach ($d->query('SELECT comment_ID, comment_content FROM wp_comments') as $r) echo $r[0], ' ', $r[1], "\n";
		echo 'integrity ', $d->query('PRAGMA integrity_check')->fetchColumn(), "\n";`)) {
		number, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n int
		if number == "integrity" {
			if text != "ok" {
				t.Errorf("the database is not sound: %s", text)
			}
			continue
		}
		_, _ = fmt.Sscan(number, &n)
		there[n] = text
	}
	for n, text := range l.comments {
		if there[n] != text {
			t.Errorf("comment %d was acknowledged as %q and is %q", n, text, there[n])
		}
	}
	extra := 0
	for n, text := range there {
		if _, ok := l.comments[n]; !ok && n > 1 {
			extra++
			if !l.pending[text] {
				t.Errorf("comment %d, %q, is nobody's", n, text)
			}
		}
	}
	t.Logf("%d comments were acknowledged, %d more were written when the server was killed", len(l.comments), extra)
	s.run("db", "verify")
}
