package cli

import (
	"errors"

	"github.com/hako-run/hako/internal/cli/shell"
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/pflag"
)

type flagType = pflag.Flag

// isUsage reports whether err is a mistake in the command line.
func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u) || errors.Is(err, pagestore.ErrSyntax) || errors.Is(err, pagestore.ErrName)
}

// hintFor returns what to do about an error that does not say it.
func hintFor(err error) string {
	var unknown *pagestore.UnknownDatabaseError
	var se *shell.StatementError
	switch {
	case errors.As(err, &unknown) && unknown.Nearest == "":
		return "`hako db list` shows the databases, `hako db create` makes one"
	case errors.Is(err, pagestore.ErrUnknownVersion), errors.Is(err, pagestore.ErrTrimmed), errors.Is(err, pagestore.ErrBeforeStart):
		return "`hako db log` shows the versions"
	case errors.Is(err, pagestore.ErrDiskFull):
		return "free some space and try again; nothing that was acknowledged is lost"
	case errors.Is(err, pagestore.ErrDamaged):
		return "`hako db verify` tells what is damaged; `hako db export` still gets out the versions that are not"
	case errors.As(err, &se) && errors.Is(err, pagestore.ErrReadOnly):
		return "open the database without a version to write to it, or make a branch of this one with `hako db branch`"
	}
	return ""
}

// nearest returns the candidate that word is most likely a misspelling of.
func nearest(word string, candidates []string) string { return shell.Nearest(word, candidates) }
