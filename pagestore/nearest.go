package pagestore

import (
	"iter"
	"strings"
)

// nearest returns the candidate that a mistyped name most likely meant, or "".
func nearest(name string, candidates iter.Seq[string]) string {
	best, bestDistance := "", max(1, len(name)/3)+1
	for c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c), bestDistance)
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func (s *Store) nearest(name string) string {
	if len(name) > MaxName {
		return ""
	}
	return nearest(name, func(yield func(string) bool) {
		s.eachName(func(n string, _ uint32) error {
			if !yield(n) {
				return ErrClosed // any error ends the walk
			}
			return nil
		})
	})
}

// distance returns the number of insertions, deletions, replacements and swaps
// of neighbours that turn a into b, or limit if it is that or more (the
// optimal string alignment distance).
func distance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit {
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

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
