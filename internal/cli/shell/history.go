package shell

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/peterh/liner"
)

// historyLimit is the number of entries kept; the file is cut to it when it
// is read with twice as many.
const historyLimit = liner.HistoryLimit

// A history is the line editor's memory in a file, one JSON string a line.
type history struct {
	file    string
	entries []string
}

// openHistory reads the file, which need not exist yet.
func openHistory(file string) (*history, error) {
	h := &history{file: file}
	if file == "" {
		return h, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
		return h, err
	}
	if err != nil {
		return h, err
	}
	for line := range strings.Lines(string(data)) {
		var entry string
		if json.Unmarshal([]byte(line), &entry) == nil {
			h.entries = append(h.entries, entry)
		}
	}
	if n := len(h.entries); n > historyLimit {
		h.entries = h.entries[n-historyLimit:]
		if n > 2*historyLimit {
			err = h.rewrite()
		}
	}
	return h, err
}

func (h *history) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(h.file), "history-*") // mode 0600
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, e := range h.entries {
		text, _ := json.Marshal(e)
		w.Write(text)
		w.WriteByte('\n')
	}
	err = w.Flush()
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), h.file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// add adds an entry unless it repeats the last.
func (h *history) add(entry string) error {
	entry = strings.TrimSpace(entry)
	if entry == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
		return nil
	}
	h.entries = append(h.entries, entry)
	if h.file == "" {
		return nil
	}
	f, err := os.OpenFile(h.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	text, _ := json.Marshal(entry)
	_, err = f.Write(append(text, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
