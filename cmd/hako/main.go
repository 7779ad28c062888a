// Command hako keeps SQLite databases with all their versions.
package main

import (
	"os"

	"github.com/hako-run/hako/internal/cli"
)

func main() { os.Exit(cli.Main()) }
