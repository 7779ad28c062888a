package engine

import (
	"os"
	"testing"
)

// TestGuarding fails where memories should be guarded and are not.
func TestGuarding(t *testing.T) {
	t.Logf("memories are guarded: %v", guarding())
	if os.Getenv("HAKO_GUARD_PAGES") == "on" && mayUseGS() && !guarding() {
		t.Error("memories are not guarded")
	}
}
