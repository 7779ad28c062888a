package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// misuse is SQLite's code for calls that make no sense.
const misuse vfscore.Code = 21

// maxSuper is how long a super-journal may become: the names of as many
// journals as SQLite attaches databases.
const maxSuper = 64 << 10

var errSize = errors.New("database is as large as the guest may make it")

func (d *Databases) read(handle int32, p []byte, off int64) vfscore.Code {
	f := d.get(handle)
	if f == nil || off < 0 || off > math.MaxInt64-int64(len(p)) {
		return misuse
	}
	if f.main == nil {
		return d.note(f, f.file.Read(p, off))
	}
	if off+int64(len(p)) > pageLimit {
		clear(p)
		return vfscore.IOErrShortRead
	}
	return d.note(f, f.main.Read(p, off))
}

func (d *Databases) write(handle int32, p []byte, off int64) vfscore.Code {
	f := d.get(handle)
	if f == nil || off < 0 || off > math.MaxInt64-int64(len(p)) {
		return misuse
	}
	end := off + int64(len(p))
	switch {
	case f.main != nil:
		if end > d.o.MaxSize {
			return d.fail(fmt.Errorf("write to %s: %w: %d bytes", f.grant.Path, errSize, d.o.MaxSize), vfscore.Full)
		}
		f.written += int64(len(p))
		return d.note(f, f.main.Write(p, off))
	case f.super:
		return d.writeSuper(f, p)
	}
	if code := d.account(f, max(f.size, end)); code != vfscore.OK {
		return code
	}
	return d.note(f, f.file.Write(p, off))
}

// writeSuper appends the name of a journal to a super-journal. The core knows a
// database by what it was opened as and not by the guest's path.
func (d *Databases) writeSuper(f *file, p []byte) vfscore.Code {
	name, ended := strings.CutSuffix(string(p), "-journal\x00")
	if ended {
		if g, ref := d.find(name); g != nil {
			p = []byte(ref + "-journal\x00")
		}
	}
	at := f.size
	if at+int64(len(p)) > maxSuper {
		return vfscore.Full
	}
	if code := d.account(f, at+int64(len(p))); code != vfscore.OK {
		return code
	}
	return d.note(f, f.file.Write(p, at))
}

// account makes size the part of a scratch file in the sum of all, unless that
// is more than it may be.
func (d *Databases) account(f *file, size int64) vfscore.Code {
	if size > d.o.MaxTemp || d.temp-f.size > d.o.MaxTemp-size {
		return d.fail(fmt.Errorf("journals and temporary files of the guest's SQLite take more than the %d bytes that they may", d.o.MaxTemp), vfscore.Full)
	}
	d.temp += size - f.size
	f.size = size
	return vfscore.OK
}

func (d *Databases) truncate(handle int32, size int64) vfscore.Code {
	f := d.get(handle)
	if f == nil || size < 0 || f.super {
		return misuse
	}
	if f.main != nil {
		if size > d.o.MaxSize {
			return d.fail(fmt.Errorf("write to %s: %w: %d bytes", f.grant.Path, errSize, d.o.MaxSize), vfscore.Full)
		}
		return d.note(f, f.main.Truncate(size))
	}
	if code := d.account(f, size); code != vfscore.OK {
		return code
	}
	return d.note(f, f.file.Truncate(size))
}

func (d *Databases) size(handle int32) (int64, vfscore.Code) {
	f := d.get(handle)
	if f == nil {
		return 0, misuse
	}
	return f.file.Size()
}

func (d *Databases) lock(handle, level int32) vfscore.Code {
	f := d.getMain(handle)
	if f == nil || level < int32(vfscore.LockShared) || level > int32(vfscore.LockExclusive) {
		return misuse
	}
	code := f.main.Lock(vfscore.LockLevel(level))
	switch {
	case code != vfscore.OK:
		f.session.refused = f.main
	case level == int32(vfscore.LockShared):
		d.seen.Note(f.main)
	}
	return d.note(f, code)
}

func (d *Databases) unlock(handle, level int32) vfscore.Code {
	f := d.getMain(handle)
	if f == nil || level != int32(vfscore.LockNone) && level != int32(vfscore.LockShared) {
		return misuse
	}
	reserved := f.main.Reserved()
	code := f.main.Unlock(vfscore.LockLevel(level))
	if reserved {
		f.written = 0
		d.settle(f.session)
	}
	return d.note(f, code)
}

// sync is SQLITE_FCNTL_SYNC. memory is how many bytes the guest's memory has.
func (d *Databases) sync(ctx context.Context, handle int32, super string, memory int64) vfscore.Code {
	f := d.getMain(handle)
	if f == nil {
		return misuse
	}
	if code := d.checkHoles(f, memory); code != vfscore.OK {
		return code
	}
	code := d.bounded(ctx, f.session, func() vfscore.Code { return f.main.SyncDatabase(super) })
	d.seen.Note(f.main)
	return code
}

// checkHoles refuses a transaction whose page 1 names more pages than SQLite
// can mean, because the store would make the missing ones. SQLite leaves out
// pages that became free before it wrote them, which are no more than its cache
// in the guest's memory had room for.
func (d *Databases) checkHoles(f *file, memory int64) vfscore.Code {
	if f.written == 0 {
		return vfscore.OK
	}
	header := make(vfscore.Header, vfscore.HeaderSize)
	if code := f.main.Read(header, 0); code != vfscore.OK {
		return vfscore.OK // there is no page 1: nothing is committed
	}
	base := f.main.Commit()
	size := int64(header.PageCount()) * int64(header.PageSize())
	if size <= int64(base.PageCount)*int64(base.PageSize)+f.written+memory && size <= d.o.MaxSize {
		return vfscore.OK
	}
	return d.fail(fmt.Errorf("commit to %s: page 1 names %d pages of %d bytes, far more than were written", f.grant.Path, header.PageCount(), header.PageSize()), vfscore.IOErrSync)
}

// bounded makes a call that may wait, which the end of ctx ends, and the guest
// with it.
func (d *Databases) bounded(ctx context.Context, s *session, call func() vfscore.Code) vfscore.Code {
	outer := s.SetContext(ctx)
	code := call()
	s.SetContext(outer)
	if code != vfscore.OK {
		d.err = s.Err()
		stop(ctx)
	}
	return code
}

// stop ends the guest if its context has ended.
func stop(ctx context.Context) {
	if ctx.Err() != nil {
		panic(fmt.Errorf("SQLite in a guest was waiting: %w", context.Cause(ctx)))
	}
}

// delete is xDelete of a super-journal.
func (d *Databases) delete(ctx context.Context, name string, sync bool) vfscore.Code {
	s := d.supers[name]
	if s == nil {
		return vfscore.OK
	}
	code := d.bounded(ctx, s, func() vfscore.Code { return s.Delete(name, sync) })
	for _, m := range s.Mains() { // it may have committed them all
		if m.Reserved() {
			d.seen.Note(m)
		}
	}
	return code
}

func (d *Databases) exists(name string) bool {
	s := d.supers[name]
	return s != nil && s.Exists(name)
}

// busy is the busy handler.
func (d *Databases) busy(ctx context.Context, number, n int32) bool {
	s := d.session(number)
	if s == nil || n < 0 {
		return false
	}
	if d.waitsForItself(s) {
		return false
	}
	outer := s.SetContext(ctx)
	again := s.Busy(int(n))
	s.SetContext(outer)
	stop(ctx)
	if !again {
		d.err = s.Err()
	}
	return again
}

// waitsForItself reports whether another connection of the guest, which does
// nothing while this one waits, has the lock that the session was refused.
func (d *Databases) waitsForItself(s *session) bool {
	refused := s.refused
	s.refused = nil // what is waited for next may be a lock of an ordinary file
	if refused == nil {
		return false
	}
	for _, f := range d.files {
		if f != nil && f.main != nil && f.session != s && f.main.Reserved() && !f.session.Optimistic() && f.main.Database() == refused.Database() {
			return true
		}
	}
	return false
}

func (d *Databases) busyTimeout(number, ms int32) vfscore.Code {
	s := d.session(number)
	if s == nil {
		return misuse
	}
	s.SetBusyTimeout(time.Duration(ms) * time.Millisecond)
	return vfscore.OK
}

// sleep waits until the time is over or the guest is to end.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		stop(ctx)
	}
}

func random(p []byte) { rand.Read(p) }

func (d *Databases) pragma(handle int32, name, arg string) (result string, handled bool) {
	f := d.getMain(handle)
	if f == nil {
		return "", false
	}
	return f.main.Pragma(name, arg)
}

// version returns the version that the connection reads, -1 if it fails.
func (d *Databases) version(handle int32) int64 {
	f := d.getMain(handle)
	if f == nil {
		return -1
	}
	c := f.main.Commit()
	d.seen.See(f.main, c.Version)
	return int64(c.Version)
}

// text returns what the guest may read of an error: nothing of the host's file
// names.
func text(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return fmt.Sprintf("input or output at the host: %v", file.Err)
	}
	return err.Error()
}

// timeFormat is that of hako_time in package sqlite.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

func (d *Databases) time(handle int32) (string, bool) {
	f := d.getMain(handle)
	if f == nil {
		return "", false
	}
	c := f.main.Commit()
	d.seen.See(f.main, c.Version)
	return c.Time.UTC().Format(timeFormat), true
}

// at pins what a connection reads, with "" to what it was opened with. It
// returns the version, -1 if it fails.
func (d *Databases) at(handle int32, spec string) int64 {
	f := d.getMain(handle)
	if f == nil {
		return -1
	}
	if f.grant.pinned() && spec != "" {
		d.fail(fmt.Errorf("pin %s to %q: %w: %s alone was granted", f.grant.Path, spec, pagestore.ErrReadOnly, f.grant.Database), vfscore.ReadOnly)
		return -1
	}
	if err := f.main.Pin(spec); err != nil {
		d.fail(err, vfscore.Error)
		return -1
	}
	return int64(f.main.Commit().Version)
}

// pageSize returns the page size of a database with no page yet, 0 if there are
// pages.
func (d *Databases) pageSize(handle int32) int32 {
	f := d.getMain(handle)
	if f == nil {
		return 0
	}
	if c := f.main.Commit(); c.PageCount == 0 {
		return int32(c.PageSize)
	}
	return 0
}
