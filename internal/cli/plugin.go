package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/wasi"
	"github.com/spf13/cobra"
	"github.com/tetratelabs/wazero"
)

func (a *app) pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Look at Proxy-Wasm plugins, and try them without a server",
	}
	group(cmd)
	cmd.AddCommand(a.pluginInspectCommand(), a.pluginRunCommand(), a.pluginReplayCommand())
	return cmd
}

// pluginSource is where a plugin comes from, and what it must be.
type pluginSource struct {
	sha256, key string
	insecure    bool
}

func (s *pluginSource) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.sha256, "sha256", "", "what the file must have, in hexadecimal")
	flags.StringVar(&s.key, "key", "", "`FILE` of the public key that the image must be signed with")
	insecureFlag(cmd, &s.insecure)
}

// read reads the plugin.
func (s *pluginSource) read(ctx context.Context, a *app, source string) (p *image.Plugin, err error) {
	o := image.PluginOptions{SHA256: s.sha256}
	o.Insecure = s.insecure
	if s.key != "" {
		if o.Key, err = os.ReadFile(a.path(s.key)); err != nil {
			return nil, err
		}
	}
	data, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	if p, err = image.OpenStore(imagesDir(data), image.Options{}).Plugin(ctx, source, o); err != nil {
		return nil, imageError(err)
	}
	return p, nil
}

// load reads the plugin and compiles it. Close ends the engine.
func (s *pluginSource) load(ctx context.Context, a *app, source string) (m *engine.Module, close func(), err error) {
	p, err := s.read(ctx, a, source)
	if err != nil {
		return nil, nil, err
	}
	return a.compilePlugin(ctx, p)
}

// compilePlugin compiles a plugin. Close ends the engine.
func (a *app) compilePlugin(ctx context.Context, p *image.Plugin) (m *engine.Module, close func(), err error) {
	data, err := a.dataDir()
	if err != nil {
		return nil, nil, err
	}
	cache := filepath.Join(data, "compiled")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, nil, err
	}
	e, err := engine.New(engine.Options{
		CacheDir: cache,
		Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports:  proxywasm.WithImports,
	})
	if err != nil {
		return nil, nil, err
	}
	if m, err = a.compile(ctx, e, p.Name, p.Module); err != nil {
		if ctx.Err() == nil { // else it may be compiling, for whom nobody waits
			e.Close()
		}
		return nil, nil, err
	}
	return m, func() { m.Close(); e.Close() }, nil
}
