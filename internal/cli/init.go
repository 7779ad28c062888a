package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// firstConfig serves a page without anything else being there.
const firstConfig = `# What hako up serves. docs/configuration.md has every key.

[server]
listen = ["127.0.0.1:8080"]
data   = ".hako"                # databases, images, caches

# A database that remembers every version.
# [[database]]
# name   = "shop"
# retain = "30d"

# A guest that answers requests.
# [[app]]
# name      = "shop"
# image     = "./shop.wasm"       # or an image, as ghcr.io/acme/shop:1
# databases = ["shop"]

# [[route]]                     # the first that matches answers
# match = { path = "/shop/*" }
# app   = "shop"

[[route]]
match  = { path = "/*" }
static = "public"
`

const firstPage = `<!doctype html>
<meta charset="utf-8">
<title>Hako</title>
<p>It works. This page is <code>public/index.html</code>.
`

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a hako.toml to begin with, and a page",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if err := os.MkdirAll(filepath.Join(dir, "public"), 0o755); err != nil {
				return err
			}
			file := filepath.Join(dir, configName)
			if err := writeNew(file, firstConfig); err != nil {
				return err
			}
			if err := writeNew(filepath.Join(dir, "public", "index.html"), firstPage); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return a.say("wrote %s: `hako up %s` serves it", file, dir)
		},
	}
	cmd.AddCommand(a.initWordpressCommand())
	return cmd
}

// writeNew writes a file that must not exist yet.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: it is left as it is", err)
		}
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
