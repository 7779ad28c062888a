//go:build !unix

package proxywasm

import "time"

// processCPU is not known here.
func processCPU() time.Duration { return 0 }
