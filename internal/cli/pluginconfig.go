package cli

import (
	"errors"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/hako-run/hako/proxywasm"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// pluginConfig is what a plugin is started with.
type pluginConfig struct {
	config, vmConfig, root, memory string
	cpu                            time.Duration
}

func (c *pluginConfig) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.config, "config", "", "`TEXT` that the plugin is configured with, or @FILE")
	flags.StringVar(&c.vmConfig, "vm-config", "", "`TEXT` that its instance is started with, or @FILE")
	flags.StringVar(&c.root, "root", "", "root `ID`, of modules with several plugins")
	c.limitFlags(flags)
}

// limitFlags are those that a replay has, too.
func (c *pluginConfig) limitFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.memory, "memory", "", "most memory, as 256m (default 64m)")
	flags.DurationVar(&c.cpu, "cpu", 5*time.Second, "most processor time of a callback")
}

// read makes the configuration, without a module.
func (c *pluginConfig) read(a *app) (cfg proxywasm.Config, err error) {
	config, err := a.textOrFile(c.config)
	if err != nil {
		return cfg, err
	}
	if cfg.VMConfig, err = a.textOrFile(c.vmConfig); err != nil {
		return cfg, err
	}
	if c.cpu <= 0 {
		return cfg, usageError{errors.New("--cpu must be more than nothing")}
	}
	cfg.Limits.CPU = c.cpu
	if c.memory != "" {
		if cfg.Limits.Memory, err = hakoapp.ParseSize(c.memory); err != nil {
			return cfg, usageErrorf("--memory %s: %v", c.memory, err)
		}
	}
	cfg.Name = "plugin"
	cfg.Roots = []proxywasm.Root{{RootID: c.root, Config: config}}
	return cfg, nil
}
