package proxywasm

import (
	"errors"
	"io"
	"math"
)

// ErrSpoolFull is returned by a Spooler's writer that takes no more.
var ErrSpoolFull = errors.New("the body is larger than what may be kept")

// A Spooler is a StreamHost that keeps bodies which a plugin holds, so that
// they take no memory (the foreign function hako_body_spool).
type Spooler interface {
	// Spool returns where the bytes go that the plugin holds of a direction's
	// body. The Stream writes them there in its callbacks, which return
	// PauseDrop, until the direction goes on; then the host sends them before
	// what TakeBody returns. Nil says that it keeps none. An error of it that
	// is not ErrSpoolFull is answered with 503.
	Spool(t StreamType) Spool
}

// A Spool keeps bytes in order. Until the direction goes on, the Stream alone
// uses it.
type Spool interface {
	io.Writer
	io.ReaderAt
}

// bodySpool has what is held of a stream's body kept outside of memory, from
// the next body callback on. It takes the direction, 0 or 1.
func bodySpool(h hostCall, args []byte) ([]byte, Status) {
	s := h.live()
	if s == nil || s.tcp || len(args) != 4 || le.Uint32(args) > uint32(Response) {
		return nil, StatusBadArgument
	}
	if _, ok := s.host.(Spooler); !ok {
		return nil, StatusUnimplemented
	}
	s.halves[le.Uint32(args)].spools = true
	return nil, StatusOK
}

// bodyRead returns what is kept of a body: it takes the direction, where to
// begin (64 bits), and how many bytes to return at most.
func bodyRead(h hostCall, args []byte) ([]byte, Status) {
	s := h.live()
	if s == nil || s.tcp || len(args) != 16 || le.Uint32(args) > uint32(Response) {
		return nil, StatusBadArgument
	}
	spool := s.halves[le.Uint32(args)].spool
	at := le.Uint64(args[4:])
	if spool == nil || at > math.MaxInt64/2 {
		return nil, StatusOK // as behind the end
	}
	b := make([]byte, min(le.Uint32(args[12:]), maxSpoolRead))
	n, err := spool.ReadAt(b, int64(at))
	if err != nil && err != io.EOF {
		s.plugin.say(LogError, s.scope, []byte("hako_body_read: "+err.Error()))
		return nil, StatusInternalFailure
	}
	return b[:n], StatusOK
}

// maxSpoolRead is how much bodyRead returns at most, in bytes.
const maxSpoolRead = 1 << 20

// spool writes what is held to where the host keeps it. False means that the
// stream has ended, as there is no room.
func (s *Stream) spool(t StreamType, h *half) bool {
	if h.spool == nil {
		h.spool = s.host.(Spooler).Spool(t)
	}
	if h.spool == nil {
		h.spools = false
		return true
	}
	_, err := h.spool.Write(h.body.Bytes())
	h.body, h.held = Buffer{}, false
	if err == nil {
		return true
	}
	if errors.Is(err, ErrSpoolFull) {
		s.tooLarge(t)
		return false
	}
	s.plugin.log(LogError, s.scope, "a body cannot be kept: "+err.Error())
	s.refuse(t, &LocalResponse{Status: 503, Details: "body_not_kept", Headers: &Headers{}, GRPCStatus: -1})
	return false
}
