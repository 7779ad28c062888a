package shell

// A tokenKind classes the tokens of SQL as far as the shell cares.
type tokenKind uint8

const (
	tokenSpace tokenKind = iota // space and comments
	tokenWord                   // a name or keyword
	tokenName                   // a quoted name
	tokenString
	tokenNumber
	tokenParam // ?, ?1, :a, @a, $a
	tokenOther // one byte of anything else
)

// A token is a piece of SQL text.
type token struct {
	kind       tokenKind
	start, end int // offsets in the text
}

// nextToken returns the token of sql that begins at pos, which must be less
// than len(sql). An unterminated string, name or comment reaches to the end.
func nextToken(sql string, pos int) token {
	t := token{kind: tokenOther, start: pos, end: pos + 1}
	until := func(from int, stop byte) int {
		for i := from; i < len(sql); i++ {
			if sql[i] == stop {
				if stop != ']' && i+1 < len(sql) && sql[i+1] == stop {
					i++
					continue
				}
				return i + 1
			}
		}
		return len(sql)
	}
	word := func(from int) int {
		for from < len(sql) && isWordByte(sql[from]) {
			from++
		}
		return from
	}
	next := byte(0)
	if pos+1 < len(sql) {
		next = sql[pos+1]
	}
	switch c := sql[pos]; {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
		t.kind = tokenSpace
	case c == '-' && next == '-':
		t.kind = tokenSpace
		for t.end < len(sql) && sql[t.end] != '\n' {
			t.end++
		}
	case c == '/' && next == '*':
		t.kind = tokenSpace
		t.end = len(sql)
		for i := pos + 3; i < len(sql); i++ {
			if sql[i] == '/' && sql[i-1] == '*' {
				t.end = i + 1
				break
			}
		}
	case c == '\'':
		t.kind, t.end = tokenString, until(pos+1, '\'')
	case c == '"' || c == '`':
		t.kind, t.end = tokenName, until(pos+1, c)
	case c == '[':
		t.kind, t.end = tokenName, until(pos+1, ']')
	case (c == 'x' || c == 'X') && next == '\'':
		t.kind, t.end = tokenString, until(pos+2, '\'')
	case c >= '0' && c <= '9':
		t.kind, t.end = tokenNumber, word(pos)
	case c == '?' || (c == ':' || c == '@' || c == '$') && isWordByte(next):
		t.kind, t.end = tokenParam, word(pos+1)
	case isWordByte(c):
		t.kind, t.end = tokenWord, word(pos)
	}
	return t
}

// tokens returns the tokens of sql without space and comments.
func tokens(sql string) []token {
	var list []token
	for pos := 0; pos < len(sql); {
		t := nextToken(sql, pos)
		if t.kind != tokenSpace {
			list = append(list, t)
		}
		pos = t.end
	}
	return list
}
