// Package diff compares two states of one SQLite database by reading SQLite's
// file format directly, so that the cost follows what changed and not the size.
//
// # Concepts
//
// Each side is a [Pages]: numbered pages of one size. [New] takes both sides
// and, when it is known, the set of pages whose content may differ
// ([Options.Changed]). A [Diff] then yields
//
//   - [Diff.Schema]: tables, indexes, views, triggers and virtual tables that
//     were created, dropped or altered, and changes of user_version and
//     application_id;
//   - [Diff.Rows]: rows added, removed and changed, table by table;
//   - [Diff.Summary]: their numbers;
//   - [Diff.WriteSQL]: a patch in SQL that turns the first side into the second;
//   - [Diff.WriteText] and [Diff.WriteJSON]: the same for people and programs.
//
// Rows of a rowid table are the same row if their rowid is equal, rows of a
// WITHOUT ROWID table if their primary key is equal under its collations.
// Columns are matched by name; columns renamed in place are matched by
// position. Indexes are derived from rows and are not compared. Shadow tables
// of virtual tables are compared like other tables, under their own names.
//
// [OwnerOf] names the table or index that pages belong to.
//
// # How the cost follows the change
//
// A b-tree page does not know its parent, and an unchanged interior page says
// nothing about its children. So a key is taken out of every changed page and
// looked up from the roots; the pages on the way are marked. Both trees are
// then walked together in key order, and where both stand at the start of the
// same page, unchanged and unmarked, they skip what hangs below it.
//
// SQLite may rewrite an overflow page without touching the leaf that owns it.
// Such pages are found by elimination and traced to their leaf by the pointer
// map, where the database has one, or by looking at their neighbours. If that
// fails, or if a large part of the pages changed, all interior pages are read
// and only unchanged leaves are skipped. The result is the same either way.
//
// # What SQLite is used for
//
// Rows are read without SQLite. The meaning of CREATE TABLE statements
// (columns, keys, collations, generated columns, defaults) is asked from SQLite
// itself, which is given the schema pages through a read-only VFS.
//
// # Life cycle
//
// A Diff keeps a few megabytes of pages and, while it is open, up to three
// SQLite connections. [Diff.Close] releases them. The Pages must stay readable
// until then. A Diff is for one goroutine at a time.
//
// # Caveats
//
// A WITHOUT ROWID table whose primary key uses a collation of the application's
// own cannot be compared ([CollationError]). Hostile or damaged pages yield a
// [FormatError], never a panic or unbounded work.
package diff
