package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/peterh/liner"
)

// repl reads statements from the terminal until the user leaves.
func (sh *Shell) repl(ctx context.Context) error {
	if sh.o.Banner != "" {
		fmt.Fprintln(sh.o.Out, sh.o.Banner)
	}
	h, err := openHistory(sh.o.History)
	if err != nil {
		fmt.Fprintf(sh.o.Err, "history is not kept: %v\n", err)
		h.file = ""
	}
	editor := liner.NewLiner()
	defer editor.Close()
	editor.SetCtrlCAborts(true)
	editor.SetMultiLineMode(true)
	editor.SetTabCompletionStyle(liner.TabPrints)
	editor.SetBeep(false)
	for _, entry := range h.entries {
		editor.AppendHistory(entry)
	}

	var s splitter
	var typed []string // the lines of the statement so far
	editor.SetWordCompleter(func(line string, cursor int) (head string, words []string, tail string) {
		runes := []rune(line)
		return sh.completions(ctx, strings.Join(typed, ""), string(runes[:cursor]), string(runes[cursor:]))
	})
	prompt := ""
	for {
		show := continuation(prompt)
		if !s.pending() {
			prompt = sh.prompt()
			show = prompt + "> "
		}
		text, err := promptUntil(ctx, editor, show)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, liner.ErrPromptAborted): // Ctrl-C drops what was typed
			s.reset()
			typed = nil
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(sh.o.Out)
			return nil
		case err != nil:
			return fmt.Errorf("line editor: %w", err)
		}
		typed = append(typed, text+"\n")
		err = sh.interruptible(ctx, &s, text+"\n")
		if !s.pending() {
			for _, entry := range historyEntries(strings.Join(typed, "")) {
				editor.AppendHistory(entry)
				if err := h.add(entry); err != nil {
					fmt.Fprintf(sh.o.Err, "history is not kept: %v\n", err)
					h.file = ""
				}
			}
			typed = nil
			s = splitter{}
		}
		if err != nil {
			return err
		}
	}
}

func (sh *Shell) prompt() string {
	if sh.o.Prompt == nil {
		return "sql"
	}
	return sh.o.Prompt(sh.conn)
}

// promptUntil reads a line unless ctx ends. The editor cannot be interrupted,
// and is of no more use then.
func promptUntil(ctx context.Context, editor *liner.State, prompt string) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := editor.Prompt(prompt)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// continuation is the prompt of the second and later lines of a statement.
func continuation(prompt string) string {
	return strings.Repeat(" ", max(0, displayWidth(prompt)-3)) + "...> "
}

// historyEntries returns what the history remembers of a statement: one line,
// or its lines if they would mean something else in one.
func historyEntries(text string) []string {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "\n") {
		return []string{text}
	}
	var b strings.Builder
	for pos := 0; pos < len(text); {
		t := nextToken(text, pos)
		piece := text[t.start:t.end]
		pos = t.end
		switch {
		case piece == "\n" || piece == "\r":
			if s := b.String(); s != "" && s[len(s)-1] != ' ' {
				b.WriteByte(' ')
			}
			continue
		case strings.Contains(piece, "\n") || t.kind == tokenSpace && strings.HasPrefix(piece, "--"):
			return strings.Split(text, "\n")
		case piece == " " && strings.HasSuffix(b.String(), " "):
			continue
		}
		b.WriteString(piece)
	}
	return []string{b.String()}
}

// interruptible runs what the line completes such that Ctrl-C cancels it and
// nothing more.
func (sh *Shell) interruptible(ctx context.Context, s *splitter, line string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := sh.line(ctx, s, line, 1, "")
	if errors.Is(err, context.Canceled) {
		s.reset()
		sh.report(context.Canceled)
		return nil
	}
	return err
}
