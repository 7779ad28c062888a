package engine

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadClock says that threadCPU is the processor time of a thread.
const threadClock = true

// threadCPU is the processor time that the calling thread has used. Only
// differences between calls on one thread mean something. The call is raw
// because it never blocks: going through the scheduler would double its cost,
// which is that of a system call.
func threadCPU() time.Duration {
	var ts unix.Timespec
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}
