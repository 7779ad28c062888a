package proxywasm

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// resident is the process's memory in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestSwapFreesMemory: what a plugin has taken is the system's again once it
// has ended, or its VM has failed, without a collection of garbage.
func TestSwapFreesMemory(t *testing.T) {
	const takes = 128 << 20
	for _, way := range []string{"swap", "crash"} {
		var slot Slot
		old, next := loadProbe(t, Config{Limits: Limits{Memory: 256 << 20, CPU: 1e11}}), loadProbe(t, Config{})
		slot.Swap(old.plugin)
		old.do(onRequestHeaders, func(c *probeCall) {
			from := c.mem.Size()
			c.guest("bomb")
			for at := from; at < from+takes; at += 4096 {
				c.mem.WriteByte(at, 1)
			}
		})
		before := resident(t)
		s, _ := slot.NewStream(0, get())
		s.RequestHeaders(false)
		full := resident(t)
		if full < before+takes*3/4 {
			t.Fatalf("%s: the plugin takes %d bytes", way, full-before)
		}
		switch way {
		case "swap":
			slot.Swap(next.plugin)
			s.Close()
			<-old.plugin.Done()
		case "crash":
			old.do(onRequestBody, func(c *probeCall) { c.guest("trap") })
			s.RequestBody([]byte("x"), true)
			s.Close()
		}
		if after := resident(t); after > before+takes/4 {
			t.Errorf("%s: memory was %d, %d with the plugin, and is %d", way, before, full, after)
		}
		slot.Swap(nil)
	}
}
