package pagestore

import "github.com/hako-run/hako/internal/nearest"

// nearest returns the name of a database that a mistyped one most likely
// meant, or "".
func (s *Store) nearest(name string) string {
	return nearest.Of(name, func(yield func(string) bool) {
		s.eachName(func(n string, _ uint32) error {
			if !yield(n) {
				return ErrClosed // any error ends the walk
			}
			return nil
		})
	})
}
