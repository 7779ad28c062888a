package cli

import (
	"errors"
	"strings"

	"github.com/hako-run/hako/internal/cli/shell"
	"github.com/hako-run/hako/pagestore"
	hakosqlite "github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/wasi"
	"github.com/spf13/pflag"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

type flagType = pflag.Flag

// isUsage reports whether err is a mistake in the command line.
func isUsage(err error) bool {
	var u usageError
	var se *shell.StatementError
	if errors.As(err, &se) { // in SQL, not in the command line
		return false
	}
	return errors.As(err, &u) || errors.Is(err, pagestore.ErrSyntax) || errors.Is(err, pagestore.ErrName)
}

// A hintedError says what to do about it on a line of its own.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// hintFor returns what to do about an error that does not say it.
func hintFor(err error) string {
	var unknown *pagestore.UnknownDatabaseError
	var hinted hintedError
	var engine *sqlite.Error
	var limit *wasi.LimitError
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &limit):
		return limitHint(limit)
	case errors.As(err, &unknown) && strings.Trim(unknown.Name, "0123456789") == "":
		return "a version is written after the name of its database, as in shop@" + unknown.Name
	case errors.As(err, &unknown) && unknown.Nearest == "":
		return "`hako db list` shows the databases, `hako db create` makes one"
	case errors.Is(err, pagestore.ErrUnknownTag) && !strings.Contains(err.Error(), "did you mean"):
		return "`hako db log` shows the versions with their tags"
	case errors.Is(err, pagestore.ErrUnknownVersion), errors.Is(err, pagestore.ErrTrimmed), errors.Is(err, pagestore.ErrBeforeStart):
		return "`hako db log` shows the versions"
	case errors.Is(err, pagestore.ErrDiskFull):
		return "free some space and try again; nothing that was acknowledged is lost"
	case errors.Is(err, hakosqlite.ErrDamagedFile):
		return "`sqlite3 FILE .recover` prints as SQL what can still be read of it; `hako db shell` takes that"
	case errors.Is(err, hakosqlite.ErrNotSQLite):
		return ""
	case errors.Is(err, pagestore.ErrDamaged), errors.As(err, &engine) && engine.Code()&0xff == sqlite3.SQLITE_CORRUPT:
		return "`hako db verify` tells what is damaged; `hako db export` still gets out the versions that are not"
	}
	return ""
}

// limitHint names the flag that sets a limit.
func limitHint(e *wasi.LimitError) string {
	flags := map[string]string{
		wasi.LimitMemory: "--memory", wasi.LimitCPU: "--cpu-time", wasi.LimitWall: "--timeout",
		wasi.LimitOutput: "--output-limit", wasi.LimitFiles: "--files",
	}
	return "`hako run` sets this limit by " + flags[e.Limit]
}
