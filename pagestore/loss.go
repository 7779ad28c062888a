package pagestore

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A LossError says that the newest part of the write-ahead log, which had been
// synced, cannot be read: commits that were acknowledged are lost. Open fails
// with it and changes nothing; with Options.AcceptLoss it goes on without
// them. It Is ErrLoss and ErrDamaged.
type LossError struct {
	File string // the log, below the store's directory
	From int64  // it can be read up to this byte
	To   int64  // it had been synced up to this byte at least; 0: not known

	Missing bool // there is no such file

	// Versions are those of which records were found behind the damage, by the
	// number of their database. There may be others.
	Versions map[uint32]LostVersions
}

// LostVersions is a range of versions, both included.
type LostVersions struct{ First, Last Version }

func (e *LossError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store is damaged: acknowledged commits are lost: %s ", e.File)
	if e.Missing {
		b.WriteString("is missing")
	} else {
		fmt.Fprintf(&b, "cannot be read from byte %d on", e.From)
	}
	if e.To > e.From {
		fmt.Fprintf(&b, ", but was synced up to byte %d", e.To)
	}
	sep := "; behind it were"
	for n, id := range sortedKeys(e.Versions) {
		if n == 10 {
			fmt.Fprintf(&b, ", and others of %d more", len(e.Versions)-n)
			break
		}
		fmt.Fprintf(&b, "%s versions %d to %d of database number %d", sep, e.Versions[id].First, e.Versions[id].Last, id)
		sep = ","
	}
	b.WriteString(": restore the store from a backup, or open it once accepting the loss")
	return b.String()
}

func (e *LossError) Is(target error) bool { return target == ErrLoss || target == ErrDamaged }

func sortedKeys[V any](m map[uint32]V) []uint32 {
	keys := make([]uint32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A logFile is one of the logs that Pebble will read.
type logFile struct {
	name   string
	number uint64
	scan   logScan
}

// checkLogs looks, before Pebble does, whether the log and the manifest are
// there up to where they were synced. Pebble takes damage near their ends for
// writes that a crash cut off.
func (s *Store) checkLogs() error {
	dir := s.fs.PathJoin(s.dir, "pages")
	was, err := readMarks(s.fs, s.marksPath())
	if err != nil {
		return fmt.Errorf("read %s: %w", s.marksPath(), err)
	}
	from, err := s.checkManifest(dir, was)
	if err != nil {
		return err
	}
	logs, err := s.scanLogs(dir, from, was.secret)
	if err != nil {
		return err
	}
	loss, first, err := s.judge(dir, logs, from, was)
	if loss == nil || err != nil {
		return err
	}
	if !s.opts.AcceptLoss {
		return loss
	}
	s.lost = loss
	if s.opts.ReadOnly {
		return nil
	}
	if err := s.acceptLoss(dir, logs[first:]); err != nil {
		return fmt.Errorf("accept the loss of commits: %w", err)
	}
	return nil
}

func (s *Store) marksPath() string { return s.fs.PathJoin(s.dir, "synced") }

// checkManifest returns the number of the first log that is needed.
func (s *Store) checkManifest(dir string, was markFile) (uint64, error) {
	desc, err := pebble.Peek(dir, s.fs)
	if err != nil {
		return 0, err
	}
	if !desc.Exists {
		for _, m := range was.marks {
			if m.kind == markLog && m.length > 0 { // it was open once
				return 0, &DamageError{Detail: "the list of its files is missing: restore the store from a backup"}
			}
		}
		return 0, nil
	}
	name := s.fs.PathBase(desc.ManifestFilename)
	m, ok := markOf(name)
	if !ok {
		return 0, nil
	}
	scan, err := s.scan(desc.ManifestFilename, m, nil)
	if err != nil {
		return 0, err
	}
	if synced := was.of(markManifest, m.number); scan.at < synced || scan.behind > 0 {
		return 0, &DamageError{Detail: fmt.Sprintf("pages/%s, the list of its files, cannot be read from byte %d on: restore the store from a backup", name, scan.at)}
	}
	return scan.minLog, nil
}

func (s *Store) scan(name string, m syncMark, secret *markSecret) (logScan, error) {
	f, err := s.fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return logScan{}, err
	}
	scan, err := scanLog(f, m.kind, m.number, secret)
	return scan, errors.Join(err, f.Close())
}

// scanLogs reads the logs from a number on, in order.
func (s *Store) scanLogs(dir string, from uint64, secret *markSecret) ([]logFile, error) {
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, err
	}
	var logs []logFile
	for _, name := range names {
		m, ok := markOf(name)
		if !ok || m.kind != markLog || m.number < from {
			continue
		}
		scan, err := s.scan(s.fs.PathJoin(dir, name), m, secret)
		if err != nil {
			return nil, err
		}
		logs = append(logs, logFile{name, m.number, scan})
	}
	slices.SortFunc(logs, func(a, b logFile) int { return int(int64(a.number) - int64(b.number)) })
	return logs, nil
}

// judge tells what is lost, nil if nothing is, and the first log that is
// damaged, len(logs) if it is missing. A log that others follow was
// closed; if only its trailer is damaged, which Pebble would not stand, the
// trailer is written anew.
func (s *Store) judge(dir string, logs []logFile, from uint64, was markFile) (loss *LossError, first int, err error) {
	for i, l := range logs {
		synced := max(was.of(markLog, l.number), l.scan.proof)
		last := i == len(logs)-1
		switch {
		case synced > l.scan.at+trailerLen, !last && l.scan.end == endTorn:
		case !last && l.scan.end == endTrailer && !s.opts.ReadOnly:
			if err := s.rewrite(s.fs.PathJoin(dir, l.name), trailer(l.number), l.scan.at); err != nil {
				return nil, 0, fmt.Errorf("repair %s: %w", l.name, err)
			}
			continue
		default:
			continue
		}
		loss = &LossError{File: path.Join("pages", l.name), From: l.scan.at, To: synced, Versions: make(map[uint32]LostVersions)}
		for _, later := range logs[i:] {
			for id, r := range later.scan.lost {
				if old, ok := loss.Versions[id]; ok {
					r = LostVersions{min(old.First, r.First), max(old.Last, r.Last)}
				}
				loss.Versions[id] = r
			}
		}
		return loss, i, nil
	}
	for _, m := range was.marks {
		if m.kind == markLog && m.length > 0 && m.number >= from && !slices.ContainsFunc(logs, func(l logFile) bool { return l.number >= m.number }) {
			return &LossError{File: fmt.Sprintf("pages/%06d.log", m.number), To: m.length, Missing: true}, len(logs), nil
		}
	}
	return nil, 0, nil
}

func (s *Store) rewrite(name string, b []byte, at int64) error {
	f, err := s.fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Sync(), f.Close())
}

// acceptLoss makes the log end where it can be read: in the first of logs.
// What is cut off goes to the directory "lost".
func (s *Store) acceptLoss(dir string, logs []logFile) error {
	lost := s.fs.PathJoin(s.dir, "lost")
	if err := s.mkdir(lost); err != nil {
		return err
	}
	for i, l := range slices.Backward(logs) { // the newest first, so that a second attempt finds the same
		name := s.fs.PathJoin(dir, l.name)
		err := vfs.Copy(s.fs, name, s.fs.PathJoin(lost, l.name))
		if err == nil && i > 0 {
			err = s.fs.Remove(name)
		} else if err == nil {
			var info vfs.FileInfo
			if info, err = s.fs.Stat(name); err == nil {
				err = s.rewrite(name, make([]byte, info.Size()-l.scan.at), l.scan.at)
			}
		}
		if err != nil {
			return err
		}
	}
	// The marks say that there was more.
	var m syncMarks
	err := m.open(s.fs, s.marksPath())
	if err == nil {
		none := syncMark{kind: markLog}
		err = errors.Join(m.note(none), m.note(none), m.sync(), m.close())
	}
	return err
}

// Lost returns what Options.AcceptLoss gave up when the store was opened, nil
// if it was nothing.
func (s *Store) Lost() *LossError { return s.lost }

// tellLoss logs which versions were given up.
func (s *Store) tellLoss() {
	if s.lost == nil {
		return
	}
	s.log.Warn("store: opened without acknowledged commits that were lost", "dir", s.dir, "error", s.lost)
	for _, id := range sortedKeys(s.lost.Versions) {
		name := "(unknown)"
		if d, err := s.load(id); err == nil {
			name = d.displayName()
		}
		r := s.lost.Versions[id]
		s.log.Warn("store: lost versions", "database", name, "first", r.First, "last", r.Last)
	}
}
