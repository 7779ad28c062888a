package filter

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hako-run/hako/proxywasm"
)

// TestSpools: what bodies take together is bounded, and free again when they
// are gone.
func TestSpools(t *testing.T) {
	all := &Spools{}
	all.SetLimit(10)
	open := func() *spool {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		return &spool{file: f, limit: 8, all: all}
	}
	a, b := open(), open()
	if _, err := a.Write([]byte("01234567")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("8")); !errors.Is(err, proxywasm.ErrSpoolFull) {
		t.Errorf("more than one may be: %v", err)
	}
	if _, err := b.Write([]byte("012")); err == nil || errors.Is(err, proxywasm.ErrSpoolFull) || !strings.Contains(err.Error(), "server.limits.spool") {
		t.Errorf("more than all may be: %v", err)
	}
	if _, err := b.Write([]byte("01")); err != nil || all.Used() != 10 {
		t.Errorf("%v, %d bytes in use", err, all.Used())
	}
	a.close()
	a.close()
	if all.Used() != 2 {
		t.Errorf("%d bytes in use", all.Used())
	}
	if _, err := b.Write([]byte("2")); err != nil {
		t.Error(err)
	}
	b.close()
	if all.Used() != 0 {
		t.Errorf("%d bytes in use", all.Used())
	}
}
