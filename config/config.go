package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

// Config is a whole hako.toml.
type Config struct {
	// File is the path the configuration was loaded from.
	File string `toml:"-"`

	// Server says where to listen and what holds for every request.
	Server Server `toml:"server"`
	// Databases are made when the server starts, unless they exist.
	Databases []Database `toml:"database"`
	// Apps are what runs as Wasm.
	Apps []App `toml:"app"`
	// Filters are Proxy-Wasm plugins that routes and streams name.
	Filters []Filter `toml:"filter"`
	// Upstreams are servers that requests are passed on to.
	Upstreams []Upstream `toml:"upstream"`
	// Routes say what answers which request. The first that matches is taken;
	// where none does, the answer is 404.
	Routes []Route `toml:"route"`
	// Streams are TCP ports that are passed on without being looked into.
	Streams []Stream `toml:"stream"`
}

// MaxFile is the size in bytes past which a configuration is refused.
const MaxFile = 4 << 20

// Load reads and checks a file; variables come from the environment. Files
// that it names are checked to exist. The error is an *Error, or one of
// reading the file.
func Load(file string) (*Config, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > MaxFile {
		return nil, fmt.Errorf("read %s: it has %d bytes, a configuration at most %d", file, info.Size(), MaxFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parseConfig(file, text, os.LookupEnv, true)
}

// Parse reads and checks the text of a file; lookup finds variables. It looks
// at no other file. The error is an *Error.
func Parse(file string, text []byte, lookup func(string) (string, bool)) (*Config, error) {
	return parseConfig(file, text, lookup, false)
}

func parseConfig(file string, text []byte, lookup func(string) (string, bool), exist bool) (*Config, error) {
	p := &problems{file: file, text: text}
	root := parse(text, p)
	if root == nil {
		return nil, p.err()
	}
	d := &decoder{problems: p, dir: filepath.Dir(file), lookup: lookup, places: map[any]int{}}
	c := &Config{File: file}
	d.decode(root, reflect.ValueOf(c).Elem(), "")
	k := &checker{decoder: d, Config: c}
	k.check()
	if exist {
		k.checkFiles()
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// App returns the app of that name, or nil.
func (c *Config) App(name string) *App { return find(c.Apps, name, appName) }

// Upstream returns the upstream of that name, or nil.
func (c *Config) Upstream(name string) *Upstream { return find(c.Upstreams, name, upstreamName) }

// Filter returns the filter of that name, or nil.
func (c *Config) Filter(name string) *Filter { return find(c.Filters, name, filterName) }

func appName(a *App) *string           { return &a.Name }
func upstreamName(u *Upstream) *string { return &u.Name }
func filterName(f *Filter) *string     { return &f.Name }
func databaseName(d *Database) *string { return &d.Name }

func find[T any](list []T, name string, of func(*T) *string) *T {
	for i := range list {
		if *of(&list[i]) == name {
			return &list[i]
		}
	}
	return nil
}
