package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/internal/server"
	"github.com/spf13/cobra"
)

// configName is the file that hako up looks for.
const configName = "hako.toml"

func (a *app) upCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "up [DIR|FILE]",
		Short: "Serve what a hako.toml says: apps, their databases, files, upstreams",
		Long: `Serve what the hako.toml in a folder (or the one here) says. Databases that it names
are made if they do not exist, images that are missing are fetched.

SIGHUP, or ` + "`hako reload`" + `, loads it again: requests under way finish under the old
one, and if the new one has a mistake, the old one stays in force. SIGTERM and
SIGINT let running requests finish; a second one does not.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.up(cmd.Context(), configFile(args), name)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for ps, reload and stop (default: the folder's)")
	return cmd
}

// configFile is the file that is meant by the arguments.
func configFile(args []string) string {
	file := "."
	if len(args) > 0 {
		file = args[0]
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return filepath.Join(file, configName)
	}
	return file
}

// loadConfig loads a configuration and finds its data directory.
func (a *app) loadConfig(file string) (c *config.Config, data string, err error) {
	c, err = config.Load(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, "", hintedError{err, "`hako init` writes one to begin with"}
		}
		return nil, "", err
	}
	if a.data == "" && c.Server.Data != "" {
		return c, string(c.Server.Data), nil
	}
	data, err = a.dataDir()
	return c, data, err
}

func (a *app) up(ctx context.Context, file, name string) (err error) {
	c, data, err := a.loadConfig(file)
	if err != nil {
		return err
	}
	if name == "" {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		name = processName(filepath.Base(filepath.Dir(absolute)))
	}
	level := &slog.LevelVar{}
	log := serverLog(a.Err, &c.Server.Log, level)
	s, err := server.Start(ctx, c, server.Options{
		Data: data, Log: log, AccessLog: a.Out,
		Pull: func(ctx context.Context, s *image.Store, ref string, plugin bool) error {
			_, err := a.pullImage(ctx, s, ref, image.PullOptions{Plugin: plugin})
			return err
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	log = s.Log()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	u := &upProcess{
		level: level, server: s, file: file, log: log, stop: stop, load: func() (*config.Config, error) {
			c, _, err := a.loadConfig(file)
			return c, err
		},
		info: hakoapp.Info{ID: hakoapp.NewID(), Name: name, Image: file, PID: os.Getpid(), Started: time.Now()},
	}
	u.info.Commands = true
	registration, err := hakoapp.NewRegistry(data).Register(name, u)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return hintedError{err, "--name gives this one another"}
	default:
		defer registration.Close()
	}
	if a.signals != nil { // SIGHUP ends other commands
		signal.Stop(a.signals)
		signal.Notify(a.signals, os.Interrupt, syscall.SIGTERM)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-hangup:
				_ = u.Reload(ctx) // which logs
			case <-ctx.Done():
				return
			}
		}
	}()
	log.Info("serving", "on", strings.Join(s.Addresses(), " "), "config", file, "data", data)
	return s.Run(ctx)
}

// processName makes a name for a process of a folder's.
func processName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if hakoapp.CheckName("a"+string(c)) != nil {
			b[i] = '-'
		}
	}
	s = strings.TrimLeft(string(b[:min(len(b), 40)]), ".-_")
	if s == "" {
		return "hako"
	}
	return s
}

// upProcess is a server as others see it.
type upProcess struct {
	server *server.Server
	level  *slog.LevelVar // of the log
	file   string
	log    *slog.Logger
	load   func() (*config.Config, error)
	stop   func()
	info   hakoapp.Info
}

func (u *upProcess) Info() hakoapp.Info {
	info := u.info
	info.Addresses = u.server.Addresses()
	info.Usage = u.server.Usage()
	info.Apps, info.Databases = u.server.Apps(), u.server.Databases()
	return info
}

// Journal implements app.Logger.
func (u *upProcess) Journal() *hakoapp.Journal { return u.server.Journal() }

// Stats implements app.Counter.
func (u *upProcess) Stats(ctx context.Context) (hakoapp.Stats, error) { return u.server.Stats(ctx) }

func (u *upProcess) Stop() { u.stop() }

// Exec runs a command of one of the apps.
func (u *upProcess) Exec(ctx context.Context, x hakoapp.Exec) (int, error) {
	code, err := u.server.Exec(ctx, x)
	if err != nil {
		err = fmt.Errorf("%s: %w", u.info.Name, err)
	}
	return code, err
}

// Command runs a command of another process on the server's databases.
func (u *upProcess) Command(ctx context.Context, c hakoapp.Command) (int, error) {
	return runFor(ctx, u.server, c)
}

// Reload loads the configuration again.
func (u *upProcess) Reload(ctx context.Context) error {
	c, err := u.load()
	if err == nil {
		err = u.server.Reload(ctx, c)
	}
	if err != nil {
		u.log.Error("the configuration was not loaded, the old one stays in force", "config", u.file, "error", err)
		return err
	}
	setLevel(u.level, c.Server.Log.Level)
	u.log.Info("loaded the configuration", "config", u.file)
	return nil
}

// serverLog makes the server's own log, of a level that can be changed later.
func serverLog(w io.Writer, c *config.Log, level *slog.LevelVar) *slog.Logger {
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// setLevel sets a level by its name, which the configuration has checked.
func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) == nil {
		level.Set(l)
	}
}
