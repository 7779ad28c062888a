//go:build linux

package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// asProgram makes the test's program the hako command.
const asProgram = "HAKO_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

// A terminal is a hako that runs on one.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File

	mu     sync.Mutex
	screen strings.Builder // all that was printed
	more   chan struct{}   // gets something when screen has grown
	seen   int             // up to where the test has looked
}

// onTerminal starts hako on a terminal of 80 columns.
func onTerminal(t *testing.T, home string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm", "HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "HAKO_DATA="+filepath.Join(home, "data"))
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, cmd: cmd, file: file, more: make(chan struct{}, 1)}
	go term.read()
	t.Cleanup(func() {
		cmd.Process.Kill() // if it is there still
		cmd.Wait()
		file.Close()
	})
	return term
}

func (term *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := term.file.Read(buf)
		term.mu.Lock()
		term.screen.Write(buf[:n])
		term.mu.Unlock()
		select {
		case term.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

const patience = time.Minute // of a busy machine

// wait waits until all of texts have been printed, one after the other.
func (term *terminal) wait(texts ...string) {
	term.t.Helper()
	deadline := time.After(patience)
	for _, text := range texts {
		for {
			term.mu.Lock()
			rest := term.screen.String()[term.seen:]
			i := strings.Index(rest, text)
			if i >= 0 {
				term.seen += i + len(text)
			}
			term.mu.Unlock()
			if i >= 0 {
				break
			}
			select {
			case <-term.more:
			case <-deadline:
				term.t.Fatalf("the terminal does not show %q, but\n%q", text, rest)
			}
		}
	}
}

// keys presses keys, and then waits for texts.
func (term *terminal) keys(keys string, texts ...string) {
	term.t.Helper()
	if _, err := io.WriteString(term.file, keys); err != nil {
		term.t.Fatal(err)
	}
	term.wait(texts...)
}

// exits waits for the end of hako and checks its exit code.
func (term *terminal) exits(code int) {
	term.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- term.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			term.t.Fatal(err)
		}
	case <-time.After(patience):
		term.t.Fatal("hako does not end")
	}
	if got := term.cmd.ProcessState.ExitCode(); got != code {
		term.t.Errorf("exit code %d, not %d\n%q", got, code, term.screen.String())
	}
}

const (
	enter = "\r"
	tab   = "\t"
	up    = "\x1b[A"
	ctrlC = "\x03"
	ctrlD = "\x04"
)

// What is expected below is never what was typed: the terminal shows that too.
func TestShellOnTerminal(t *testing.T) {
	home := t.TempDir()
	create := onTerminal(t, home, "db", "create", "shop")
	create.wait("created shop")
	create.exits(exitOK)

	sh := onTerminal(t, home, "db", "shell", "shop")
	sh.wait("shop: newest version 0. .help for help, Ctrl-D to leave.", "shop> ")
	sh.keys("SELECT 6"+enter, " ...> ")
	sh.keys("* 7;"+enter, "42", "shop> ")
	sh.keys("SELECT nonsense;"+enter, "no such column: nonsense", "shop> ") // does not end it
	sh.keys("CREATE TABLE customers(id INTEGER PRIMARY KEY, nickname TEXT);"+enter, "shop> ")
	sh.keys("INSERT INTO cus"+tab, "INTO customers ")
	sh.keys("(nick"+tab, "(nickname")
	sh.keys(") VALUES ('Zo' || 'ë 日本');"+enter, "shop> ")
	sh.keys("SELECT * FROM customers;"+enter, "Zoë 日本 │", "shop> ")

	sh.keys("SELECT 'never to be run", "run")
	sh.keys(ctrlC, "shop> ") // drops what was typed
	sh.keys(".mode list"+enter, "shop> ")
	const first = "SELECT 'un' || 'der way' FROM n WHERE i = 1 OR i < 0;"
	for _, endless := range []string{ // before there is a row, and after
		"SELECT 'un' || 'der way'; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) " + first,
	} {
		sh.keys(endless+enter, "under way")
		sh.keys(ctrlC, "interrupted", "shop> ")
		sh.keys("SELECT 6 * 9;"+enter, "54", "shop> ")
	}
	sh.keys(ctrlD)
	sh.exits(exitOK)

	// The next run remembers.
	sh = onTerminal(t, home, "db", "shell", "shop@1")
	sh.wait("shop@1 (read-only)> ")
	sh.keys(up, "SELECT 6 * 9;")
	sh.keys(up, first)
	sh.keys(up, "SELECT 6 * 9;")
	sh.keys(enter, "54", "> ")
	sh.keys("INSERT INTO customers VALUES (9, '');"+enter, "read-only", "> ")
	sh.keys(".quit" + enter)
	sh.exits(exitOK)
}

func TestPromptShowsThePin(t *testing.T) {
	home := t.TempDir()
	onTerminal(t, home, "db", "create", "shop").exits(exitOK)
	onTerminal(t, home, "db", "shell", "shop", "CREATE TABLE t(a); INSERT INTO t VALUES (1)").exits(exitOK)
	sh := onTerminal(t, home, "db", "shell", "shop")
	sh.wait("shop> ")
	sh.keys("SELECT hako_at(1) + 41;"+enter, "42", "shop@1> ")
	sh.keys("SELECT"+enter, "   ...> ")
	sh.keys("6 * 9;"+enter, "54", "shop@1> ")
	sh.keys("SELECT hako_at(NULL);"+enter, "shop> ")
	sh.keys("SELECT * FROM nosuch;"+enter, "no such table", "shop> ")
	sh.keys("SELECT hako_at(77);"+enter, "no version 77", "`hako db log` shows the versions", "shop> ") // with the hint
	sh.keys(ctrlD)
	sh.exits(exitOK)
	sh = onTerminal(t, home, "db", "shell", "shop@1")
	sh.wait("shop@1 (read-only)> ")
	sh.keys("SELECT hako_at('head');"+enter, "shop (read-only)> ")
	sh.keys(ctrlD)
	sh.exits(exitOK)
}

func TestDeleteAsks(t *testing.T) {
	home := t.TempDir()
	onTerminal(t, home, "db", "create", "shop").exits(exitOK)
	ask := func(keys string, code int, says string) {
		t.Helper()
		d := onTerminal(t, home, "db", "delete", "shop")
		d.wait("Delete shop with its versions 0 to 0, for ever? [y/N] ")
		d.keys(keys, says)
		d.exits(code)
	}
	ask(ctrlC, exitInterrupted, "hako: interrupted") // at once
	ask(enter, exitFailed, "shop was not deleted")
	ask("n"+enter, exitFailed, "shop was not deleted")
	ask("y"+enter, exitOK, "deleted shop")
}

// A terminal that goes away, or a SIGTERM, ends the shell.
func TestShellEndsWhenTerminated(t *testing.T) {
	home := t.TempDir()
	onTerminal(t, home, "db", "create", "shop").exits(exitOK)
	sh := onTerminal(t, home, "db", "shell", "shop")
	sh.wait("shop> ")
	if err := sh.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	sh.exits(exitInterrupted)
	again := onTerminal(t, home, "db", "verify")
	again.wait("shop: ok, up to version 0")
	again.exits(exitOK)
}
