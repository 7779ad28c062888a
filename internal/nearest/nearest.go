// Package nearest finds what a mistyped word most likely meant, for errors that
// ask "did you mean".
package nearest

import (
	"iter"
	"strings"
)

// maxWord is the longest word, in bytes, for which something near is looked
// for.
const maxWord = 256

// minPrefix is how many bytes of a word tell what it was to become.
const minPrefix = 3

// Of returns the candidate that word most likely is a misspelling of: the one
// with the fewest differences, of at most one for each three letters, or else
// the first that begins with word. It is "" if there is none. Upper and lower
// case are the same.
func Of(word string, candidates iter.Seq[string]) string {
	if len(word) > maxWord {
		return ""
	}
	word = strings.ToLower(word)
	best, least, longer := "", max(1, len(word)/3)+1, ""
	for c := range candidates {
		lower := strings.ToLower(c)
		if d := distance(word, lower, least); d < least {
			best, least = c, d
		}
		if longer == "" && len(word) >= minPrefix && strings.HasPrefix(lower, word) {
			longer = c
		}
	}
	if best == "" {
		return longer
	}
	return best
}

// distance returns the number of insertions, deletions, replacements and swaps
// of neighbours that turn a into b, or limit if it is that or more (the
// optimal string alignment distance). It counts bytes.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
