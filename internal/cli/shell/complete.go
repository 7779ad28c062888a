package shell

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// A suggestion completes the word before the cursor.
type suggestion struct {
	word string // takes the place of the word
	kind string // "table", "column", "keyword", "command", "file"
}

// completions answers the line editor: before is the statement's earlier
// lines, left and right the line around the cursor. The editor puts head, one
// of the words and tail in the place of the line.
func (sh *Shell) completions(ctx context.Context, before, left, right string) (head string, words []string, tail string) {
	word, list := sh.suggest(ctx, before+left)
	exact := commonPrefix(list) >= len(word)
	for _, s := range list {
		// The editor inserts what the words have in common, which must not
		// take away from what was typed: in doubt, case matters.
		if exact || strings.HasPrefix(s.word, word) {
			words = append(words, s.word)
		}
	}
	if len(words) == 1 && list[0].kind != "file" && right == "" {
		words[0] += " "
	}
	return strings.TrimSuffix(left, word), words, right
}

// commonPrefix returns the length of what all suggestions begin with.
func commonPrefix(list []suggestion) int {
	if len(list) == 0 {
		return 0
	}
	n := len(list[0].word)
	for _, s := range list[1:] {
		n = min(n, len(s.word))
		for i := range n {
			if s.word[i] != list[0].word[i] {
				n = i
				break
			}
		}
	}
	return n
}

// suggest returns the word that text ends with and what it could become.
func (sh *Shell) suggest(ctx context.Context, text string) (word string, list []suggestion) {
	if strings.HasPrefix(text, ".") {
		return sh.suggestCommand(ctx, text)
	}
	// Only the statement at the cursor matters.
	var s splitter
	s.feed(text)
	for {
		if _, _, ok := s.next(); !ok {
			break
		}
	}
	if s.open != 0 && s.open != '"' && s.open != '`' && s.open != ']' {
		return "", nil // within a string or comment
	}
	stmt := string(s.buf)
	start := len(stmt)
	for start > 0 && (isWordByte(stmt[start-1]) || stmt[start-1] == '.') {
		start--
	}
	word = stmt[start:]
	sh.catalog.load(ctx)
	mentioned, aliases := sh.mentioned(stmt)
	matches := func(candidate, prefix string) bool {
		return len(candidate) >= len(prefix) && strings.EqualFold(candidate[:len(prefix)], prefix)
	}
	if owner, prefix, found := cutLast(word, "."); found {
		table := strings.ToLower(owner)
		if t, ok := aliases[table]; ok {
			table = t
		}
		for _, c := range sh.catalog.columns[table] {
			if c = quoteName(c); matches(c, prefix) {
				list = append(list, suggestion{owner + "." + c, "column"})
			}
		}
		return word, list
	}
	for _, t := range sh.catalog.tables {
		if t = quoteName(t); matches(t, word) {
			list = append(list, suggestion{t, "table"})
		}
	}
	if wantsTable(stmt[:start]) {
		return word, list
	}
	owners := mentioned
	if len(owners) == 0 {
		for _, t := range sh.catalog.tables {
			owners = append(owners, strings.ToLower(t))
		}
	}
	seen := map[string]bool{}
	for _, t := range owners {
		for _, c := range sh.catalog.columns[t] {
			if c = quoteName(c); matches(c, word) && !seen[c] {
				seen[c] = true
				list = append(list, suggestion{c, "column"})
			}
		}
	}
	if word == "" {
		return word, list
	}
	for _, k := range keywords {
		if matches(k, word) {
			if word == strings.ToLower(word) {
				k = strings.ToLower(k)
			}
			list = append(list, suggestion{k, "keyword"})
		}
	}
	return word, list
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// wantsTable reports whether a table's name must follow.
func wantsTable(before string) bool {
	list := tokens(before)
	if len(list) == 0 {
		return false
	}
	last := list[len(list)-1]
	switch strings.ToUpper(before[last.start:last.end]) {
	case "FROM", "JOIN", "INTO", "UPDATE", "TABLE":
		return true
	}
	return false
}

// mentioned returns the known tables that stmt names, and the aliases it gives
// them, all in lower case.
func (sh *Shell) mentioned(stmt string) (tables []string, aliases map[string]string) {
	aliases = map[string]string{}
	list := tokens(stmt)
	name := func(i int) string {
		if i >= len(list) || list[i].kind != tokenWord && list[i].kind != tokenName {
			return ""
		}
		return strings.ToLower(unquoteName(stmt[list[i].start:list[i].end]))
	}
	for i := range list {
		table := name(i)
		if _, ok := sh.catalog.columns[table]; !ok || table == "" {
			continue
		}
		tables = append(tables, table)
		next := i + 1
		if name(next) == "as" {
			next++
		}
		if alias := name(next); alias != "" && !isKeyword(alias) {
			aliases[alias] = table
		}
	}
	return tables, aliases
}

func (sh *Shell) suggestCommand(ctx context.Context, text string) (word string, list []suggestion) {
	start := strings.LastIndexAny(text, " \t") + 1
	word = text[start:]
	add := func(kind string, candidates ...string) {
		for _, c := range candidates {
			if strings.HasPrefix(strings.ToLower(c), strings.ToLower(word)) {
				list = append(list, suggestion{c, kind})
			}
		}
	}
	if start == 0 {
		for i := range commands {
			add("command", "."+commands[i].name)
		}
		return word, list
	}
	switch name := strings.Fields(text)[0]; name {
	case ".mode":
		for _, m := range Modes {
			add("mode", string(m))
		}
	case ".tables", ".schema", ".dump", ".indexes":
		sh.catalog.load(ctx)
		add("table", sh.catalog.tables...)
	case ".read", ".output", ".once", ".import":
		if files, err := filepath.Glob(escapeGlob(word) + "*"); err == nil {
			for _, f := range files[:min(len(files), 500)] {
				if info, err := os.Stat(f); err == nil && info.IsDir() {
					f += string(filepath.Separator)
				}
				add("file", f)
			}
		}
		if name == ".import" {
			sh.catalog.load(ctx)
			add("table", sh.catalog.tables...)
		}
	case ".bail", ".changes", ".echo", ".headers", ".timer":
		add("setting", "on", "off")
	case ".help":
		for i := range commands {
			add("command", commands[i].name)
		}
	case ".parameter":
		add("word", "set", "list", "clear", "unset")
	}
	return word, list
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
