package engine

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropCode takes code that is mapped from a file out of this process' memory,
// and tells whether it did. What runs again comes back from the system's cache
// of files, a few pages at a time. The code must stay mapped meanwhile.
func dropCode(code []byte) bool {
	return len(code) > 0 && mappedFile(code) && unix.Madvise(code, unix.MADV_DONTNEED) == nil
}

// mappedFile tells whether code is a mapping of a file, and not memory that
// exists nowhere else.
func mappedFile(code []byte) bool {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return false
	}
	defer f.Close()
	begin := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(&code[0])))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, begin) {
			fields := strings.Fields(line) // range, permissions, offset, device, inode, name
			return len(fields) > 5 && fields[1] == "r-xp" && fields[4] != "0"
		}
	}
	return false
}
