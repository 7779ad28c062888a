package worker

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strings"

	"github.com/hako-run/hako/wasi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	// Module is the name that guests import from.
	Module = "hako_http_v1"
	// Export is the function that a guest exports to answer a request. It
	// takes nothing and returns 0, or anything else if it failed.
	Export = "hako_http_v1_serve"
)

// What the imports return where they fail.
const (
	codeInvalid = -1 // bad arguments, a malformed block
	codeOrder   = -2 // not now: the head was sent already, or the exchange is over
	codeClosed  = -3 // the client has gone
	codeLarge   = -4 // the request's body is larger than allowed
	codeTimeout = -5 // the client was too slow
)

func code(err error) int32 {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFields), errors.Is(err, http.ErrContentLength):
		return codeInvalid
	case errors.Is(err, errOver), errors.Is(err, errOrder):
		return codeOrder
	case errors.As(err, &large):
		return codeLarge
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return codeTimeout
	}
	return codeClosed
}

// Instantiate registers the protocol's imports in a runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(Module)
	for name, f := range map[string]function{
		"head":     {head, 2, 1, false},
		"read":     {read, 2, 1, true},
		"trailers": {readTrailers, 2, 1, false},
		"respond":  {respond, 3, 1, true},
		"write":    {write, 2, 1, true},
		"flush":    {flush, 0, 1, true},
		"append":   {appendTrailers, 2, 1, false},
		"finish":   {finish, 0, 1, true},
		"persist":  {persist, 0, 1, false},
		"log":      {logText, 3, 0, false},
	} {
		b.NewFunctionBuilder().WithGoModuleFunction(f, i32s(f.params), i32s(f.results)).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// A function is an import: its parameters are the stack's first values, and
// so is its result. All are 32-bit numbers.
type function struct {
	call            func(x *Exchange, m api.Memory, p []uint64) int32
	params, results int
	waits           bool // for the client
}

func (f function) Call(ctx context.Context, mod api.Module, stack []uint64) {
	x, _ := ctx.Value(contextKey{}).(*Exchange)
	result := int32(codeOrder) // called outside of a request
	if x != nil && mod.Memory() != nil {
		if f.waits {
			// The client may take its time; the guest's may be up first.
			stop := context.AfterFunc(ctx, x.client.Interrupt)
			defer stop() // also where the call ends the guest
			wasi.Wait(ctx, func() { result = f.call(x, mod.Memory(), stack) })
			if !stop() {
				panic(context.Cause(ctx))
			}
		} else {
			result = f.call(x, mod.Memory(), stack)
		}
	}
	if f.results > 0 {
		stack[0] = api.EncodeI32(result)
	}
}

func i32s(n int) []api.ValueType {
	types := make([]api.ValueType, n)
	for i := range types {
		types[i] = api.ValueTypeI32
	}
	return types
}

// slice returns the guest's bytes that two parameters tell.
func slice(m api.Memory, p []uint64) ([]byte, bool) {
	return m.Read(uint32(p[0]), uint32(p[1]))
}

// give writes a block to the guest if it fits and returns its size.
func give(m api.Memory, p []uint64, fields []field, err error) int32 {
	if err != nil {
		return code(err)
	}
	size := fieldsSize(fields)
	if size > math.MaxInt32 {
		return codeLarge
	}
	if uint32(p[1]) < uint32(size) {
		return int32(size)
	}
	to, ok := m.Read(uint32(p[0]), uint32(size))
	if !ok {
		return codeInvalid
	}
	appendFields(to[:0], fields)
	return int32(size)
}

func head(x *Exchange, m api.Memory, p []uint64) int32 {
	fields, err := x.head()
	return give(m, p, fields, err)
}

func readTrailers(x *Exchange, m api.Memory, p []uint64) int32 {
	fields, err := x.requestTrailers()
	return give(m, p, fields, err)
}

func read(x *Exchange, m api.Memory, p []uint64) int32 {
	to, ok := slice(m, p)
	if !ok {
		return codeInvalid
	}
	n, err := x.body(to[:min(len(to), math.MaxInt32)])
	if err != nil {
		return code(err)
	}
	return int32(n)
}

func respond(x *Exchange, m api.Memory, p []uint64) int32 {
	block, ok := slice(m, p[1:])
	if !ok {
		return codeInvalid
	}
	fields, err := parseFields(block)
	if err == nil {
		err = x.respond(int(int32(p[0])), fields)
	}
	return code(err)
}

func write(x *Exchange, m api.Memory, p []uint64) int32 {
	from, ok := slice(m, p)
	if !ok || len(from) > math.MaxInt32 {
		return codeInvalid
	}
	n, err := x.write(from)
	if err != nil {
		var limit *wasi.LimitError
		if errors.As(err, &limit) {
			panic(err)
		}
		return code(err)
	}
	return int32(n)
}

func flush(x *Exchange, m api.Memory, p []uint64) int32 { return code(x.flush()) }

func appendTrailers(x *Exchange, m api.Memory, p []uint64) int32 {
	block, ok := slice(m, p)
	if !ok {
		return codeInvalid
	}
	fields, err := parseFields(block)
	if err == nil {
		err = x.trailers(fields)
	}
	return code(err)
}

func finish(x *Exchange, m api.Memory, p []uint64) int32 { return code(x.finish()) }

func persist(x *Exchange, _ api.Memory, _ []uint64) int32 {
	if x.Persist != nil {
		x.Persist()
	}
	return 0
}

// maxLog bounds the bytes of one line in the log.
const maxLog = 64 << 10

func logText(x *Exchange, m api.Memory, p []uint64) int32 {
	text, ok := slice(m, p[1:])
	if ok && x.Log != nil {
		text = text[:min(len(text), maxLog)]
		if x.logged += int64(len(text)) + 1; x.Output > 0 && x.logged > x.Output {
			panic(&wasi.LimitError{Limit: wasi.LimitOutput, Max: x.Output})
		}
		// Levels are slog's: -4 debug, 0 information, 4 warning, 8 error.
		level := slog.Level(max(-8, min(12, int32(p[0]))))
		x.Log(level, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
	return 0
}
