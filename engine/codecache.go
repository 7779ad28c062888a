package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/cpu"
)

// A codeCache keeps compiled code between processes. wazero's own cache has a
// checksum over the machine code but none over where its functions begin, so
// that a damaged file can send a guest anywhere. Here each module has a folder,
//
//	<dir>/<key>/wazero-<version>-<system>/<entry>
//	<dir>/<key>/module
//	<dir>/<key>/seal
//
// (key is a hash of the module, wazero's version and the processor's features),
// that appears when it is whole. The module is kept rewritten, with what was
// read of it, since doing that again takes as long as all the rest. Both files
// are used after they were found to be what the seal says; wazero is shown the
// entry by a link in a folder of the engine's own.
type codeCache struct {
	dir    string
	stage  string // wazero's cache directory
	config wazero.RuntimeConfig
	cache  wazero.CompilationCache
	maker  string // what else the code depends on
}

const (
	// abandoned is how old the folders of processes that died are when they
	// are removed.
	abandoned = 24 * time.Hour
	// unused is how long a module is kept that nobody asks for.
	unused = 60 * 24 * time.Hour
)

// openCodeCache opens or makes the cache in dir. config is what modules are
// compiled with.
func openCodeCache(dir string, config wazero.RuntimeConfig) (*codeCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache of compiled code: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open the cache of compiled code: %w", err)
	} else if info.Mode().Perm()&0o022 != 0 && os.PathSeparator == '/' {
		return nil, fmt.Errorf("open the cache of compiled code: others can write to %s: chmod it to 700", dir)
	}
	c := &codeCache{dir: dir, config: config}
	c.sweep()
	var err error
	if c.stage, err = os.MkdirTemp(dir, "stage-"); err != nil {
		return nil, fmt.Errorf("open the cache of compiled code: %w", err)
	}
	if c.cache, err = wazero.NewCompilationCacheWithDir(c.stage); err != nil {
		os.RemoveAll(c.stage)
		return nil, fmt.Errorf("open the cache of compiled code: %w", err)
	}
	folders, _ := filepath.Glob(filepath.Join(c.stage, "wazero-*"))
	for _, folder := range folders {
		c.maker += filepath.Base(folder)
	}
	c.maker += fmt.Sprintf("%+v %+v", cpu.X86, cpu.ARM64)
	return c, nil
}

// folder is where the module with this hash is kept.
func (c *codeCache) folder(key [sha256.Size]byte) string {
	h := sha256.New()
	io.WriteString(h, c.maker)
	h.Write(key[:])
	return filepath.Join(c.dir, hex.EncodeToString(h.Sum(nil)))
}

func (c *codeCache) close() error {
	err := c.cache.Close(context.Background())
	os.RemoveAll(c.stage) // sweep does it if this cannot
	return err
}

// sweep removes what processes that died were making, and what has not been
// used for long, by any version of the engine.
func (c *codeCache) sweep() {
	folders, _ := filepath.Glob(filepath.Join(filepath.Dir(c.dir), "code-*", "*"))
	for _, folder := range folders {
		watched, limit := filepath.Join(folder, "seal"), unused
		if name := filepath.Base(folder); strings.HasPrefix(name, "stage-") || strings.HasPrefix(name, "new-") {
			watched, limit = folder, abandoned
		}
		if info, err := os.Stat(watched); err == nil && time.Since(info.ModTime()) > limit {
			os.RemoveAll(folder)
		}
	}
}

// has reports whether a module is there. It may turn out damaged.
func (c *codeCache) has(key [sha256.Size]byte) bool {
	_, err := os.Stat(filepath.Join(c.folder(key), "seal"))
	return err == nil
}

// open returns a module that is in the cache, nil if it is not or was damaged,
// and lets wazero find its code.
func (c *codeCache) open(key [sha256.Size]byte) *rewritten {
	folder := c.folder(key)
	entry, kept, ok := sealed(folder)
	if !ok {
		os.RemoveAll(folder)
		return nil
	}
	r, err := decodeRewritten(kept)
	if err != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Join(folder, "seal"), now, now) // for sweep
	c.show(folder, entry)
	return r
}

// add puts a module into the cache, and lets wazero find its code: compile
// makes that in a runtime. What fails here only costs the time to compile
// again, so it is no error.
func (c *codeCache) add(key [sha256.Size]byte, r *rewritten, compile func(wazero.Runtime) error) {
	folder := c.folder(key)
	if c.fill(folder, r, compile) != nil {
		return
	}
	if entry, _, ok := sealed(folder); ok {
		c.show(folder, entry)
	}
}

// show links an entry to where wazero looks for it.
func (c *codeCache) show(folder, entry string) {
	source, err := filepath.Abs(filepath.Join(folder, entry))
	if err != nil {
		return
	}
	link := filepath.Join(c.stage, entry)
	if os.MkdirAll(filepath.Dir(link), 0o700) == nil {
		if os.Symlink(source, link) != nil {
			_ = os.Link(source, link) // Windows keeps symbolic links to the few
		}
	}
}

// forget takes a module's code out of the cache.
func (c *codeCache) forget(key [sha256.Size]byte) {
	os.RemoveAll(c.folder(key))
	links, _ := filepath.Glob(filepath.Join(c.stage, "*", "*"))
	for _, link := range links {
		os.Remove(link)
	}
}

// fill compiles a module into a folder.
func (c *codeCache) fill(folder string, r *rewritten, compile func(wazero.Runtime) error) error {
	made, err := os.MkdirTemp(c.dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	cache, err := wazero.NewCompilationCacheWithDir(made)
	if err != nil {
		return err
	}
	ctx := context.Background()
	defer cache.Close(ctx)
	runtime := wazero.NewRuntimeWithConfig(ctx, c.config.WithCompilationCache(cache))
	defer runtime.Close(ctx)
	if err := compile(runtime); err != nil {
		return err
	}
	entries, err := filepath.Glob(filepath.Join(made, "wazero-*", "*"))
	if err != nil || len(entries) != 1 {
		return fmt.Errorf("%d entries: %w", len(entries), err)
	}
	entry, err := filepath.Rel(made, entries[0])
	if err != nil {
		return err
	}
	kept, err := encodeRewritten(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "module"), kept, 0o600); err != nil {
		return err
	}
	seal, err := sealOf(made, entry, kept)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "seal"), []byte(seal), 0o600); err != nil {
		return err
	}
	return os.Rename(made, folder) // fails if another process was quicker: then there is one
}

// sealOf is what the seal of a folder with this entry says.
func sealOf(folder, entry string, kept []byte) (string, error) {
	f, err := os.Open(filepath.Join(folder, entry))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x %x %s", h.Sum(nil), sha256.Sum256(kept), filepath.ToSlash(entry)), nil
}

// sealed returns the entry of a folder, and what was kept of the module, if
// they are as they were written.
func sealed(folder string) (entry string, kept []byte, ok bool) {
	seal, err := os.ReadFile(filepath.Join(folder, "seal"))
	if err != nil {
		return "", nil, false
	}
	_, name, _ := strings.Cut(string(seal), " ")
	_, name, _ = strings.Cut(name, " ")
	entry = filepath.FromSlash(name)
	if !filepath.IsLocal(entry) {
		return "", nil, false
	}
	if kept, err = os.ReadFile(filepath.Join(folder, "module")); err != nil {
		return "", nil, false
	}
	now, err := sealOf(folder, entry, kept)
	return entry, kept, err == nil && now == string(seal)
}
