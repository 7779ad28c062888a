package sqlite

import (
	"maps"
	"slices"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/diff"
)

// ownerReads bounds the pages that are read to name tables in a conflict.
const ownerReads = 300

// owners names the tables that pages of a snapshot belong to, as far as is
// soon found out.
func owners(at *pagestore.Snapshot, pages []uint32) []string {
	found, err := diff.OwnerOf(at, pages, ownerReads)
	if err != nil {
		return nil // the conflict is what matters
	}
	names := make(map[string]bool)
	for _, o := range found {
		names[o.Table] = true
	}
	return slices.Sorted(maps.Keys(names))
}
