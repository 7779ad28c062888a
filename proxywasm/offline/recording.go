package offline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hako-run/hako/proxywasm"
)

// ErrRecording says that a text is no recording.
var ErrRecording = errors.New("not a recording")

// Bounds of a recording: bytes of an event, and events.
const (
	maxEvent  = 64 << 20
	maxEvents = 10_000_000
)

// Write writes events as JSON, a line for each.
func Write(w io.Writer, events []*proxywasm.Event) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for _, event := range events {
		if err := e.Encode(event); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads what Write writes. Errors wrap ErrRecording, or are r's.
func Read(r io.Reader) (events []*proxywasm.Event, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e := &proxywasm.Event{}
		if err := json.Unmarshal(line, e); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrRecording, n, err)
		}
		switch e.Kind {
		case proxywasm.Enter, proxywasm.Leave, proxywasm.Call:
		default:
			return nil, fmt.Errorf("%w: line %d: its kind is %q", ErrRecording, n, e.Kind)
		}
		if events = append(events, e); len(events) > maxEvents {
			return nil, fmt.Errorf("%w: it has more than %d events", ErrRecording, maxEvents)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: a line has more than %d bytes", ErrRecording, maxEvent)
	} else if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrRecording)
	}
	return events, nil
}
