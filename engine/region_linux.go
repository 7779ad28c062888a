package engine

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var defaultBacking backing = mappedBacking{}

// mappedBacking holds an image in a sealed memfd and maps it copy-on-write
// over each region, so that forks share every page that they do not write.
type mappedBacking struct{}

// mappedRegion is a reservation of address space that takes no memory until
// it is used. Only its first size bytes are accessible.
type mappedRegion struct {
	base     unsafe.Pointer
	span     uint64 // what is reserved
	reserved uint64 // what size may grow to
	size     uint64
	img      *mappedImage
	// stale is how many resets in a row found most warm pages as they were.
	stale int
}

type mappedImage struct {
	fd     int
	length uint64
	// view is the stored part, read-only: what dirty pages are copied from.
	view []byte
}

// warmPages is how many dirty pages a reset copies back at most. Copying
// keeps them mapped: the next fork, which most likely writes the same ones,
// saves a page fault for each, which costs several times the copying.
// Regions with more than that are given back to the system instead, so that
// idle ones do not hold much.
const warmPages = 2048

// Up to fewPages are copied back without a look at whether they were changed
// again. Of more, most of which were not changed in staleResets resets in a
// row, those are given back: one request that writes much must not make the
// resets after all later ones slow.
const (
	fewPages    = 64
	staleResets = 8
)

func (mappedBacking) reserve(max uint64) (region, error) {
	max = roundPage(max)
	if guarding() {
		return reserveGuarded(max)
	}
	if max == 0 {
		return &mappedRegion{}, nil
	}
	for want := max; ; want = roundPage(want / 2) {
		p, err := unix.MmapPtr(-1, 0, nil, uintptr(want), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err == nil {
			return &mappedRegion{base: p, span: want, reserved: want}, nil
		}
		if err != unix.ENOMEM || want <= 1<<20 {
			return nil, fmt.Errorf("reserve %d bytes of address space for a guest's memory: %w (see ulimit -v and vm.max_map_count)", want, err)
		}
	}
}

// reserveGuarded reserves all that a guest's access can reach.
func reserveGuarded(max uint64) (region, error) {
	p, err := unix.MmapPtr(-1, 0, nil, guardSpan, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve 4 GiB of address space for a guest's memory: %w (see ulimit -v and vm.max_map_count; HAKO_GUARD_PAGES=off needs less)", err)
	}
	return &mappedRegion{base: p, span: guardSpan, reserved: min(max, 4<<30)}, nil
}

func (mappedBacking) guarded() bool { return guarding() }

func (r *mappedRegion) slice(from, to uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(r.base, from)), to-from)
}

func (r *mappedRegion) bytes(size uint64) ([]byte, error) {
	if size > r.reserved {
		return nil, fmt.Errorf("memory of %d bytes: %d are reserved", size, r.reserved)
	}
	if size > r.size {
		from := roundPage(r.size)
		if to := roundPage(size); to > from {
			if err := unix.Mprotect(r.slice(from, to), unix.PROT_READ|unix.PROT_WRITE); err != nil {
				return nil, fmt.Errorf("grow a guest's memory to %d bytes: %w", size, err)
			}
		}
		r.size = size
	}
	if size == 0 {
		return []byte{}, nil
	}
	return r.slice(0, size), nil
}

func (r *mappedRegion) load(img image) error {
	r.img = img.(*mappedImage)
	if stored := uint64(len(r.img.view)); stored > 0 {
		if stored > r.reserved {
			return fmt.Errorf("map an image of %d bytes: %d are reserved", stored, r.reserved)
		}
		_, err := unix.MmapPtr(r.img.fd, 0, r.base, uintptr(stored), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
		if err != nil {
			return fmt.Errorf("map an image of %d bytes: %w", stored, err)
		}
		r.size = stored
	}
	_, err := r.bytes(r.img.length)
	return err
}

func (r *mappedRegion) reset() error {
	if r.reserved == 0 {
		return nil
	}
	if extra := r.slice(r.img.length, r.size); len(extra) > 0 {
		// What the guest had grown goes back to the system.
		if err := unix.Madvise(extra, unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("reset a guest's memory: %w", err)
		}
		if err := unix.Mprotect(extra, unix.PROT_NONE); err != nil {
			return fmt.Errorf("reset a guest's memory: %w", err)
		}
		r.size = r.img.length
	}
	if r.size == 0 || r.copyBack() {
		return nil
	}
	if err := unix.Madvise(r.slice(0, r.size), unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("reset a guest's memory: %w", err)
	}
	return nil
}

// copyBack restores the pages that were written, if they can be told and are
// few.
func (r *mappedRegion) copyBack() bool {
	pagemap := openPagemap()
	if pagemap < 0 {
		return false
	}
	ranges := rangesPool.Get().(*[2048]pageRange)
	defer rangesPool.Put(ranges)
	start := uint64(uintptr(r.base))
	n, ok := scanPrivate(pagemap, start, start+roundPage(r.size), ranges[:])
	if !ok {
		return false
	}
	var dirty uint64
	for _, p := range ranges[:n] {
		dirty += p.end - p.start
	}
	if dirty > warmPages*pageSize {
		return false
	}
	if dirty <= fewPages*pageSize {
		for _, p := range ranges[:n] {
			r.copyPages(p.start-start, min(p.end-start, r.size))
		}
		return true
	}
	return r.restore(ranges[:n], start, dirty)
}

// restore copies pages back that are changed. Those that are not were written
// by an earlier fork: if they are the most for long, they are given back.
func (r *mappedRegion) restore(ranges []pageRange, start, dirty uint64) bool {
	give := r.stale >= staleResets
	var same uint64
	for _, p := range ranges {
		end := min(p.end-start, r.size)
		unchanged := p.start - start // where pages begin that are not
		for from := p.start - start; from < end; from += pageSize {
			to := min(from+pageSize, end)
			if r.restorePage(from, to) {
				same += pageSize
				continue
			}
			if give && !r.giveBack(unchanged, from) {
				return false
			}
			unchanged = to
		}
		if give && !r.giveBack(unchanged, roundPage(end)) {
			return false
		}
	}
	if give || same <= dirty/2 {
		r.stale = 0
	} else {
		r.stale++
	}
	return true
}

// restorePage reports whether a page was as in the image, and makes it so.
func (r *mappedRegion) restorePage(from, to uint64) bool {
	page, want := r.slice(from, to), zeroPage[:]
	if stored := uint64(len(r.img.view)); from < stored {
		want = r.img.view[from:min(to, stored)]
	}
	for len(page) > 0 {
		n := min(len(want), len(page)) // pages may be larger than zeroPage
		if !bytes.Equal(page[:n], want[:n]) {
			r.copyPages(from, to)
			return false
		}
		page, want = page[n:], zeroPage[:]
	}
	return true
}

// copyPages makes pages what they are in the image.
func (r *mappedRegion) copyPages(from, to uint64) {
	written, n := r.slice(from, to), 0
	if from < uint64(len(r.img.view)) {
		n = copy(written, r.img.view[from:])
	}
	clear(written[n:])
}

// giveBack makes pages the image's again.
func (r *mappedRegion) giveBack(from, to uint64) bool {
	return from == to || unix.Madvise(r.slice(from, to), unix.MADV_DONTNEED) == nil
}

func (r *mappedRegion) room() uint64 { return r.reserved }

func (r *mappedRegion) free() {
	if r.span > 0 {
		_ = unix.MunmapPtr(r.base, uintptr(r.span)) // fails only for addresses that are not ours
		*r = mappedRegion{}
	}
}

func (mappedBacking) freeze(memory []byte) (image, error) {
	img := &mappedImage{fd: -1, length: uint64(len(memory))}
	memory = zeroTail(memory)
	if len(memory) == 0 {
		return img, nil
	}
	fd, err := unix.MemfdCreate("hako-template", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create a memfd for a frozen memory: %w", err)
	}
	img.fd = fd
	if err := img.fill(memory); err != nil {
		img.free()
		return nil, fmt.Errorf("freeze a memory of %d bytes: %w", len(memory), err)
	}
	return img, nil
}

func (i *mappedImage) fill(memory []byte) error {
	if err := unix.Ftruncate(i.fd, int64(len(memory))); err != nil {
		return err
	}
	// Only pages that hold something are written; the others stay holes.
	const step = 64 << 10
	for at := 0; at < len(memory); at += step {
		part := memory[at:min(at+step, len(memory))]
		if isZero(part) {
			continue
		}
		for off := 0; off < len(part); {
			n, err := unix.Pwrite(i.fd, part[off:], int64(at+off))
			if err != nil {
				return err
			}
			off += n
		}
	}
	if _, err := unix.FcntlInt(uintptr(i.fd), unix.F_ADD_SEALS,
		unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	view, err := unix.Mmap(i.fd, 0, len(memory), unix.PROT_READ, unix.MAP_PRIVATE)
	i.view = view
	return err
}

func (i *mappedImage) size() uint64   { return i.length }
func (i *mappedImage) stored() uint64 { return uint64(len(i.view)) }

func (i *mappedImage) free() {
	if i.view != nil {
		_ = unix.Munmap(i.view)
		i.view = nil
	}
	if i.fd >= 0 {
		_ = unix.Close(i.fd)
		i.fd = -1
	}
}

var pageSize = uint64(os.Getpagesize())

func roundPage(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// openPagemap returns a descriptor of this process's page map, or -1 where
// there is none (no /proc, as in some containers). It stays open as long as
// the process.
var openPagemap = sync.OnceValue(func() int {
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})

// pageRange is struct page_region of linux/fs.h.
type pageRange struct{ start, end, categories uint64 }

// pmScan is struct pm_scan_arg of linux/fs.h.
type pmScan struct {
	size, flags, start, end, walkEnd     uint64
	vec, vecLen, maxPages                uint64
	inverted, mask, anyOf, returnedFlags uint64
}

// The ioctl PAGEMAP_SCAN and its page categories (Linux 6.7).
const (
	pagemapScan = 0xc0606610
	pageFile    = 1 << 2
	pagePresent = 1 << 3
	pageSwapped = 1 << 4
	pageZero    = 1 << 5
)

var rangesPool = sync.Pool{New: func() any { return new([2048]pageRange) }}

// scanPrivate lists the pages between two addresses that this process has of
// its own: of a private mapping of a file, those that were written, for the
// others are the file's. It is false if the kernel cannot tell or there are
// too many ranges.
func scanPrivate(pagemap int, start, end uint64, ranges []pageRange) (int, bool) {
	arg := pmScan{
		size: uint64(unsafe.Sizeof(pmScan{})), start: start, end: end,
		vec: uint64(uintptr(unsafe.Pointer(&ranges[0]))), vecLen: uint64(len(ranges)),
		inverted: pageFile | pageZero, mask: pageFile | pageZero,
		anyOf: pagePresent | pageSwapped, returnedFlags: pagePresent,
	}
	n, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(pagemap), pagemapScan, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 || arg.walkEnd < end {
		return 0, false
	}
	return int(n), true
}
