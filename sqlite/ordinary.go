package sqlite

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// namesFile reports whether a name that no database of a store has is that of
// an ordinary file.
func namesFile(name string) bool {
	if strings.ContainsAny(name, `/\`) || slices.Contains([]string{".db", ".db3", ".sqlite", ".sqlite3"}, filepath.Ext(name)) {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// fileURI returns what SQLite takes for an ordinary file, whatever its default
// VFS is.
func fileURI(name string) string {
	vfs := "unix"
	if runtime.GOOS == "windows" {
		vfs = "win32"
	}
	u := url.URL{Path: filepath.ToSlash(name)}
	return "file:" + u.EscapedPath() + "?vfs=" + vfs
}
