package sqlhost

import (
	"strconv"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// resettable are the PRAGMAs that change only the connection and can be set
// back, with what they are at first.
var resettable = map[string]string{
	"foreign_keys":              "0",
	"recursive_triggers":        "0",
	"case_sensitive_like":       "0",
	"query_only":                "0",
	"ignore_check_constraints":  "0",
	"automatic_index":           "1",
	"cache_size":                "-2000",
	"analysis_limit":            "0",
	"legacy_alter_table":        "0",
	"full_column_names":         "0",
	"short_column_names":        "1",
	"reverse_unordered_selects": "0",
}

// free are the PRAGMAs that change nothing, or only the database.
var free = set("application_id", "auto_vacuum", "busy_timeout", "collation_list", "compile_options", "data_version",
	"database_list", "defer_foreign_keys", "encoding", "foreign_key_check", "foreign_key_list", "freelist_count",
	"function_list", "incremental_vacuum", "index_info", "index_list", "index_xinfo", "integrity_check",
	"journal_mode", "locking_mode", "max_page_count", "module_list", "optimize", "page_count", "page_size",
	"pragma_list", "quick_check", "secure_delete", "shrink_memory", "synchronous", "table_info", "table_list",
	"table_xinfo", "user_version")

// readable are the PRAGMAs that a guest may ask for but not set. Setting them
// is ignored, as it is by an SQLite that was built without them.
var readable = set("cache_spill", "cell_size_check", "checkpoint_fullfsync", "fullfsync", "hard_heap_limit",
	"journal_size_limit", "mmap_size", "read_uncommitted", "schema_version", "soft_heap_limit", "temp_store",
	"threads", "trusted_schema", "wal_autocheckpoint", "wal_checkpoint", "writable_schema")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// maxCache is how many KiB of pages a guest may make a connection keep, beside
// the store's cache.
const maxCache = 8 << 10

// authorize is SQLite's authorizer: it is asked of every statement that is
// compiled.
func authorize(_ *libc.TLS, id uintptr, action int32, z1, z2, zSchema, _ uintptr) int32 {
	v, ok := connections.Load(id)
	if !ok {
		return sqlite3.SQLITE_DENY
	}
	c := v.(*connection)
	switch action {
	case sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE:
		return sqlite3.SQLITE_OK
	case sqlite3.SQLITE_FUNCTION:
		return c.authorizeFunction(text(z2))
	case sqlite3.SQLITE_PRAGMA:
		c.setting = true
		return c.authorizePragma(strings.ToLower(text(z1)), text(z2), z2 != 0)
	case sqlite3.SQLITE_ATTACH:
		return c.authorizeAttach(text(z1), z1 != 0)
	case sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_TEMP_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_VIEW:
		c.dirty = true
	case sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE:
		// Full-text and other indexes that SQLite has itself. What reads files
		// is none of them, unless the program that this is part of adds it.
		if !modules[strings.ToLower(text(z2))] {
			return sqlite3.SQLITE_DENY
		}
	}
	if zSchema != 0 && strings.EqualFold(text(zSchema), "temp") {
		c.dirty = true
	}
	return sqlite3.SQLITE_OK
}

// modules are those of virtual tables that may be made.
var modules = set("fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly")

func text(z uintptr) string {
	if z == 0 {
		return ""
	}
	return libc.GoString(z)
}

func (c *connection) authorizeFunction(name string) int32 {
	switch strings.ToLower(name) {
	case "load_extension", "fts3_tokenizer":
		return sqlite3.SQLITE_DENY
	case "hako_at":
		if c.kind.pinned {
			return sqlite3.SQLITE_DENY
		}
	}
	return sqlite3.SQLITE_OK
}

func (c *connection) authorizePragma(name, arg string, given bool) int32 {
	switch {
	case name == "cache_size" && given && !smallCache(arg):
		return sqlite3.SQLITE_IGNORE
	case free[name]:
		return sqlite3.SQLITE_OK
	case readable[name]:
		if given {
			return sqlite3.SQLITE_IGNORE
		}
		return sqlite3.SQLITE_OK
	}
	if _, ok := resettable[name]; ok {
		if given {
			if c.pragmas == nil {
				c.pragmas = make(map[string]struct{})
			}
			c.pragmas[name] = struct{}{}
		}
		return sqlite3.SQLITE_OK
	}
	return sqlite3.SQLITE_DENY
}

// smallCache takes pages for 4 KiB.
func smallCache(arg string) bool {
	n, err := strconv.Atoi(arg)
	return err == nil && n >= -maxCache && n <= maxCache/4
}

// authorizeAttach lets names pass that go to the connection's own VFS, which
// asks the instance's grants: a URI could name another one, and what is
// computed cannot be looked at before. VACUUM attaches "", a temporary file.
func (c *connection) authorizeAttach(name string, literal bool) int32 {
	if !literal || strings.HasPrefix(strings.ToLower(name), "file:") || name == ":memory:" {
		return sqlite3.SQLITE_DENY
	}
	c.attached, c.setting = true, true
	return sqlite3.SQLITE_OK
}
