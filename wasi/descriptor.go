package wasi

// The rights of preview 1.
const (
	rightDatasync uint64 = 1 << iota
	rightRead
	rightSeek
	rightSetFlags
	rightSync
	rightTell
	rightWrite
	rightAdvise
	rightAllocate
	rightCreateDirectory
	rightCreateFile
	rightLinkSource
	rightLinkTarget
	rightOpen
	rightReaddir
	rightReadlink
	rightRenameSource
	rightRenameTarget
	rightPathStat
	rightPathSetSize
	rightPathSetTimes
	rightStat
	rightSetSize
	rightSetTimes
	rightSymlink
	rightRemoveDirectory
	rightUnlink
	rightPoll
	rightShutdown
	rightAccept
)

const (
	streamRights = rightSetFlags | rightStat | rightPoll | rightDatasync | rightSync
	fileRights   = streamRights | rightRead | rightWrite | rightSeek | rightTell | rightAdvise | rightAllocate |
		rightSetSize | rightSetTimes
	// Directories have no right to seek: wasi-libc takes that for a file.
	dirRights = rightSetFlags | rightDatasync | rightSync | rightCreateDirectory | rightCreateFile | rightLinkSource |
		rightLinkTarget | rightOpen | rightReaddir | rightReadlink | rightRenameSource | rightRenameTarget |
		rightPathStat | rightPathSetSize | rightPathSetTimes | rightStat | rightSetTimes | rightSymlink |
		rightRemoveDirectory | rightUnlink
	socketRights = streamRights | rightRead | rightWrite | rightShutdown | rightAccept
)

// The flags of a descriptor.
const (
	flagAppend uint16 = 1 << iota
	flagDsync
	flagNonblock
	flagRsync
	flagSync
	allFlags = 1<<iota - 1
)

// descriptor is what a number of the guest stands for: one of a file, a
// directory, a stream and a socket.
type descriptor struct {
	file   File
	dir    Dir
	stream *stream
	socket *socket

	shared             bool   // dir belongs to the Grants
	preopen            string // where the guest sees dir, if it did not open it
	rights, inheriting uint64
	flags              uint16
	offset             int64 // of file
}

func (d *descriptor) close() error {
	switch {
	case d.file != nil:
		return d.file.Close()
	case d.dir != nil && !d.shared:
		return d.dir.Close()
	case d.socket != nil:
		return d.socket.Close()
	}
	return nil
}

// node is the file or directory, nil for others.
func (d *descriptor) node() Node {
	switch {
	case d.file != nil:
		return d.file
	case d.dir != nil:
		return d.dir
	}
	return nil
}

// get returns descriptor fd if it has the rights. Without the right to read or
// to write the error is that of a descriptor opened otherwise.
func (s *System) get(fd uint32, rights uint64) (*descriptor, Errno) {
	if uint64(fd) >= uint64(len(s.table)) || s.table[fd] == nil {
		return nil, EBADF
	}
	d := s.table[fd]
	if missing := rights &^ d.rights; missing != 0 {
		switch {
		case missing&(rightRead|rightWrite) != 0:
			return d, EBADF
		case d.dir == nil && missing&dirRights&^fileRights != 0:
			return d, ENOTDIR
		}
		return d, ENOTCAPABLE
	}
	return d, Success
}

// getFile returns descriptor fd if it is a regular file with the rights.
func (s *System) getFile(fd uint32, rights uint64) (*descriptor, Errno) {
	d, errno := s.get(fd, 0)
	switch {
	case errno != Success:
		return nil, errno
	case d.dir != nil && rights&rightRead != 0:
		return nil, EISDIR
	case d.dir != nil:
		return nil, EBADF
	case d.file == nil:
		return nil, ESPIPE
	}
	return s.get(fd, rights)
}

// getDir returns descriptor fd if it is a directory with the rights.
func (s *System) getDir(fd uint32, rights uint64) (*descriptor, Errno) {
	d, errno := s.get(fd, 0)
	switch {
	case errno != Success:
		return nil, errno
	case d.dir == nil:
		return nil, ENOTDIR
	}
	return s.get(fd, rights)
}

// add gives d the lowest number that is free.
func (s *System) add(d *descriptor) (uint32, Errno) {
	for i, old := range s.table {
		if old == nil {
			s.table[i] = d
			return uint32(i), Success
		}
	}
	if len(s.table) >= s.c.OpenFiles {
		return 0, EMFILE
	}
	s.table = append(s.table, d)
	return uint32(len(s.table) - 1), Success
}

// full tells whether add would fail.
func (s *System) full() bool {
	return len(s.table) >= s.c.OpenFiles && s.OpenFiles() >= len(s.table)
}
