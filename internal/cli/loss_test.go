package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

// A log whose newest part is damaged is not taken for one that ends there.
func TestAcceptLoss(t *testing.T) {
	h := newHarness(t)
	h.ok("db", "create", "shop")
	source := h.data
	store, err := pagestore.Open(filepath.Join(source, "store"), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	shop, err := store.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		tx, err := shop.Begin(pagestore.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.WritePage(1, bytes.Repeat([]byte{byte(i + 1)}, 4096)); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// What a kill leaves behind.
	h.data = filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(h.data, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(h.data, "store", "*", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log in %s: %v", h.data, err)
	}
	slices.Sort(logs)
	newest := logs[len(logs)-1]
	b, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 { // zeros are written ahead
		end--
	}
	if end == 0 {
		t.Fatalf("%s is empty", newest)
	}
	b[end-5] ^= 0x40
	if err := os.WriteFile(newest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h.fails(exitFailed, "--accept-loss", "db", "list")
	h.fails(exitFailed, "--accept-loss", "db", "verify")
	code, out, errs := h.run("", "db", "verify", "--accept-loss")
	if code == exitUsage || !strings.Contains(out, "shop:") || !strings.Contains(errs, "went on without") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if out := h.ok("db", "list"); !strings.Contains(out, "shop") {
		t.Errorf("listed\n%s", out)
	}
}
