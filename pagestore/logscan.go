package pagestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// What a log or manifest of Pebble's consists of: blocks of 32 KiB with chunks
// that do not cross them. A chunk is a checksum (4 bytes) over what follows
// the length, the payload's length (2), a type (1), in logs the log's number
// (4), in newer logs an offset (8), and the payload; integers are
// little-endian. A log that was closed ends with a trailer.
const (
	logBlock      = 32 << 10
	plainHead     = 4 + 2 + 1
	numberedHead  = plainHead + 4
	offsetHead    = numberedHead + 8
	trailerLen    = numberedHead
	trailerType   = 5
	chunkOverhead = offsetHead
)

// A chunk is one of a log or manifest that was found whole.
type chunk struct {
	size        int // with its head
	first, last bool
	payload     []byte
}

// parseChunk reads the chunk that b begins with.
func parseChunk(b []byte, kind markKind, number uint64) (c chunk, ok bool) {
	if len(b) < plainHead {
		return c, false
	}
	head, t := plainHead, b[6]
	switch {
	case kind == markManifest && t >= 1 && t <= 4:
	case kind == markLog && t >= 5 && t <= 8:
		head = numberedHead
	case kind == markLog && t >= 9 && t <= 12:
		head = offsetHead
	default:
		return c, false
	}
	c.size = head + int(binary.LittleEndian.Uint16(b[4:]))
	if len(b) < c.size || head > plainHead && binary.LittleEndian.Uint32(b[plainHead:]) != uint32(number) {
		return c, false
	}
	sum := crc32.Checksum(b[6:c.size], castagnoli)
	if binary.LittleEndian.Uint32(b) != (sum>>15|sum<<17)+0xa282ead8 {
		return c, false
	}
	t = (t - 1) % 4 // full, first, middle, last
	c.first, c.last, c.payload = t <= 1, t == 0 || t == 3, b[head:c.size]
	return c, true
}

func trailer(number uint64) []byte {
	b := make([]byte, trailerLen)
	b[6] = trailerType
	binary.LittleEndian.PutUint32(b[plainHead:], uint32(number)+1)
	return b
}

// The ends that a log may have.
type logEnd uint8

const (
	endTorn    logEnd = iota // a write that did not happen, or damage
	endClosed                // the trailer, or the file's own end
	endTrailer               // a trailer of which one byte is damaged
)

// A logScan tells how far a log or manifest can be read, and what else is in
// it.
type logScan struct {
	at     int64 // the end of the last whole chunk
	end    logEnd
	behind int64 // a manifest: where a record begins past the end; 0: none does
	proof  int64 // a log: a record past the end says that it was synced up to here
	lost   map[uint32]LostVersions
	minLog uint64 // a manifest: the first log that is still needed; 0: not known
}

// scanLog reads a log or manifest, first as Pebble does, and past the end by
// trying every byte as the beginning of a chunk. secret marks what hints to
// believe; nil: none.
func scanLog(r io.Reader, kind markKind, number uint64, secret *markSecret) (s logScan, err error) {
	buf := make([]byte, logBlock)
	reading := true
	for base := int64(0); ; base += logBlock {
		n, err := io.ReadFull(r, buf)
		if err == io.EOF {
			if reading {
				s.end = endClosed
			}
			return s, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return s, err
		}
		b, at := buf[:n], 0
		if reading {
			at, reading = s.read(b, kind, number)
			s.at = base + int64(at)
		}
		if !reading {
			s.search(b, at, base, kind, number, secret)
		} else if n < logBlock {
			s.end = endClosed
		}
		if n < logBlock {
			return s, nil
		}
	}
}

// read goes through the chunks of a block. It returns where it stopped, and
// whether the next block goes on.
func (s *logScan) read(b []byte, kind markKind, number uint64) (at int, more bool) {
	for {
		rest := b[at:]
		zeros := len(bytes.TrimLeft(rest, "\x00")) == 0
		if len(rest) < plainHead && (len(b) == logBlock || len(rest) == 0) || len(rest) < chunkOverhead && zeros && len(b) == logBlock {
			return len(b), true // what is left of a block
		}
		c, ok := parseChunk(rest, kind, number)
		if !ok {
			if kind == markLog && len(rest) >= trailerLen {
				differ := 0
				for i, want := range trailer(number) {
					if rest[i] != want {
						differ++
					}
				}
				if differ <= 1 {
					s.end = endClosed + logEnd(differ)
				}
			}
			return at, false
		}
		if kind == markManifest && c.first {
			s.edit(c.payload)
		}
		at += c.size
	}
}

// edit takes the number of the first log that is needed from the beginning of
// a manifest's record. Fields have tags; only the comparer's name may stand
// before it.
func (s *logScan) edit(b []byte) {
	const tagComparator, tagLogNumber = 1, 2
	tag, n := binary.Uvarint(b)
	if n > 0 && tag == tagComparator {
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return
		}
		b = b[n+int(size):]
	}
	if tag, n = binary.Uvarint(b); n <= 0 || tag != tagLogNumber {
		return
	}
	if number, m := binary.Uvarint(b[n:]); m > 0 {
		s.minLog = number
	}
}

// search looks for records past the end.
func (s *logScan) search(b []byte, from int, base int64, kind markKind, number uint64, secret *markSecret) {
	if kind == markLog && (secret == nil || !bytes.Contains(b[from:], secret[:])) {
		return
	}
	for ; from+plainHead <= len(b); from++ {
		at := base + int64(from)
		if at == s.at {
			continue
		}
		c, ok := parseChunk(b[from:], kind, number)
		if !ok {
			continue
		}
		if kind == markManifest {
			if c.first && s.behind == 0 {
				s.behind = at
			}
			continue
		}
		const tail = hintLen + 2 // with its kind and length
		if !c.last || len(c.payload) < tail {
			continue
		}
		hint := c.payload[len(c.payload)-tail:]
		if hint[0] != opLogData || hint[1] != byte(hintLen) || markSecret(hint[2:10]) != *secret {
			continue
		}
		if length := int64(binary.BigEndian.Uint64(hint[18:])); binary.BigEndian.Uint64(hint[10:]) == number && length <= at {
			s.proof = max(s.proof, length)
		}
		if c.first {
			s.commits(c.payload)
		}
		from += c.size - 1
	}
}

// Operations in a batch of Pebble's, which a record of a log is: 12 bytes and
// for each a kind and one or two byte strings with their lengths.
const (
	batchHead     = 12
	opDelete      = 0
	opSet         = 1
	opLogData     = 3
	opDeleteRange = 15
)

// commits notes the versions that a record past the end made.
func (s *logScan) commits(b []byte) {
	if len(b) < batchHead {
		return
	}
	d := decoder{b: b[batchHead:]}
	for len(d.b) > 0 && d.err == nil {
		op := d.byte()
		key := d.bytes()
		switch op {
		case opSet, opDeleteRange:
			d.bytes()
		case opDelete, opLogData:
		default:
			return
		}
		if op != opSet || len(key) != 1+idLen+8 || key[0] != keyCommit || d.err != nil {
			continue
		}
		if s.lost == nil {
			s.lost = make(map[uint32]LostVersions)
		}
		id, v := binary.BigEndian.Uint32(key[1:]), keyVersion(key)
		r, ok := s.lost[id]
		if !ok {
			r.First = v
		}
		s.lost[id] = LostVersions{min(r.First, v), max(r.Last, v)}
	}
}
