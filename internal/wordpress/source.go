package wordpress

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// A Source is where WordPress and its SQLite integration come from.
type Source struct {
	// Core is a folder or a zip archive with WordPress in it, as
	// wordpress.org has them; "" takes the Registry's.
	Core string
	// Integration is likewise the plugin sqlite-database-integration; "" takes
	// the one that Core has, or the Registry's.
	Integration string
	// Registry is asked for what is missing.
	Registry Registry
}

// ErrNoWordPress means that a folder or archive does not hold WordPress, or
// not its SQLite integration.
var ErrNoWordPress = errors.New("not there")

// integration is the plugin's folder within wp-content.
const integration = "mu-plugins/sqlite-database-integration"

// put writes WordPress into core, and what is of wp-content into content.
func (s *Source) put(ctx context.Context, core, content string) error {
	where := func(name string) (string, string, bool) {
		if rest, ok := strings.CutPrefix(name, "wp-content/"); ok {
			switch first, _, _ := strings.Cut(rest, "/"); first {
			case "database", "db.php", "upgrade", "cache":
				return "", "", false // not WordPress's own, or written anew
			case "plugins":
				if strings.HasPrefix(rest, "plugins/sqlite-database-integration/") {
					return "", "", false // it goes elsewhere
				}
			}
			return content, rest, true
		}
		switch name {
		case "wp-config.php", "wp-config-sample.php", "wordpress-remote-asset-paths", ".default_theme":
			return "", "", false
		}
		return core, name, true
	}
	from := s.Core
	var kept string
	if from == "" || s.Integration == "" {
		if from == "" {
			var err error
			if kept, err = s.Registry.fetch(ctx); err != nil {
				return err
			}
			from = filepath.Join(kept, keptCore)
		}
	}
	files, closer, err := openFiles(from)
	if err != nil {
		return err
	}
	defer closer.Close()
	top := find(files, "wp-includes/version.php")
	if top == "" {
		return fmt.Errorf("WordPress in %s: %w: it has no wp-includes/version.php", from, ErrNoWordPress)
	}
	if err := copyFiles(files, top, where); err != nil {
		return fmt.Errorf("copy WordPress from %s: %w", from, err)
	}
	if s.Core == "" {
		// The package has scripts, styles and pictures beside the archive, and
		// one theme only in it. Of another, its archive of an older WordPress
		// has the rest; of a third there is no rest.
		whole := where
		where = func(name string) (string, string, bool) {
			if strings.HasPrefix(name, "wp-content/themes/twentytwentytwo/") {
				return "", "", false
			}
			return whole(name)
		}
		if err := copyFrom(filepath.Join(kept, keptAssets), where); err != nil {
			return err
		}
		err := copyFrom(filepath.Join(kept, keptOlder), func(name string) (string, string, bool) {
			if !strings.HasPrefix(name, "wp-content/themes/") {
				return "", "", false
			}
			return whole(name)
		})
		if err != nil {
			return err
		}
	}
	return s.putIntegration(ctx, files, top, filepath.Join(content, filepath.FromSlash(integration)))
}

// copyFrom copies what a folder or archive has.
func copyFrom(from string, where place) error {
	files, closer, err := openFiles(from)
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := copyFiles(files, ".", where); err != nil {
		return fmt.Errorf("copy WordPress's files from %s: %w", from, err)
	}
	return nil
}

// putIntegration writes the SQLite integration into dir; files have WordPress
// below top.
func (s *Source) putIntegration(ctx context.Context, files fs.FS, top, dir string) error {
	where := func(name string) (string, string, bool) {
		first, _, _ := strings.Cut(name, "/")
		return dir, name, first != ".github" && first != "tests"
	}
	const load = "wp-includes/sqlite/db.php"
	if s.Integration == "" {
		for _, below := range []string{"plugins", "mu-plugins"} {
			at := path.Join(top, "wp-content", below, "sqlite-database-integration")
			if _, err := fs.Stat(files, path.Join(at, load)); err == nil {
				return copyFiles(files, at, where)
			}
		}
	}
	from := s.Integration
	if from == "" {
		kept, err := s.Registry.fetch(ctx)
		if err != nil {
			return err
		}
		from = filepath.Join(kept, keptIntegration)
	}
	plugin, closer, err := openFiles(from)
	if err != nil {
		return err
	}
	defer closer.Close()
	at := find(plugin, load)
	if at == "" {
		return fmt.Errorf("the plugin sqlite-database-integration in %s: %w: it has no %s", from, ErrNoWordPress, load)
	}
	if err := copyFiles(plugin, at, where); err != nil {
		return fmt.Errorf("copy the SQLite integration from %s: %w", from, err)
	}
	return nil
}
