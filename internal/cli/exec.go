package cli

import (
	hakoapp "github.com/hako-run/hako/app"
	"github.com/spf13/cobra"
)

func (a *app) execCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "exec [FLAGS] NAME [COMMAND] [ARGS...]",
		Short: "Run another guest beside a running one, with the same grants",
		Long: `Run another instance of the module that runs as NAME (or as the ID that begins
so), in the same process and with the same grants: its directories, databases
and addresses. ARGS are its arguments; without any it gets those of NAME. The
exit code is the guest's.

Beside a server, which hako up runs, the first of ARGS is one of the commands
that an app has in hako.toml; it runs with that app's grants. Where two apps
have one of the same name, it is APP/COMMAND.`,
		Example: `  hako exec site php -r 'echo PHP_VERSION, "\n";'
  hako exec -it site wp user list`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.endedByQuit()
			env, err := f.variables()
			if err != nil {
				return usageError{err}
			}
			data, err := a.dataDir()
			if err != nil {
				return err
			}
			x := hakoapp.Exec{Args: args[1:], Env: hakoapp.MergeEnv(a.terminalEnv(&f), env)}
			streams, restore, err := a.guestStreams(&f)
			if err != nil {
				return err
			}
			defer restore()
			// The other process reads and writes our streams itself, so
			// that they have to be files; what is none goes through pipes.
			relay, err := newRelay(streams)
			if err != nil {
				return err
			}
			x.Stdin, x.Stdout, x.Stderr = relay.in, relay.out, relay.err
			code, err := hakoapp.NewRegistry(data).Exec(cmd.Context(), args[0], x)
			relay.close()
			if cause := interruption(cmd.Context()); cause != 0 {
				return &exitError{code: cause}
			}
			switch {
			case err != nil && code == 0:
				return &exitError{exitNotStarted, err}
			case err != nil || code != 0:
				return &exitError{code, err}
			}
			return nil
		},
		ValidArgsFunction: a.completeProcess,
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&f.interactive, "interactive", "i", false, "let the guest read standard input")
	flags.BoolVarP(&f.terminal, "tty", "t", false, "show the guest that its streams are a terminal")
	flags.BoolVar(&f.raw, "raw", false, "with -it: hand every key to the guest as it is pressed, Ctrl-C too")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set a variable, NAME=VALUE, or pass NAME on")
	flags.StringArrayVar(&f.envFiles, "env-file", nil, "read variables from a FILE of NAME=VALUE lines")
	return cmd
}

// completeProcess completes the name of a running process.
func (a *app) completeProcess(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	data, err := a.dataDir()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	infos, err := hakoapp.NewRegistry(data).List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
