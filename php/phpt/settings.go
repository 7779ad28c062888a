package phpt

import "strings"

// defaults are the settings that tests are run with.
const defaults = `output_handler=
open_basedir=
disable_functions=
output_buffering=Off
error_reporting=30719
display_errors=1
display_startup_errors=1
log_errors=0
html_errors=0
track_errors=0
report_memleaks=1
report_zend_debug=0
docref_root=
docref_ext=.html
error_prepend_string=
error_append_string=
auto_prepend_file=
auto_append_file=
ignore_repeated_errors=0
precision=14
serialize_precision=-1
memory_limit=128M
opcache.fast_shutdown=0
opcache.file_update_protection=0
opcache.revalidate_freq=0
opcache.protect_memory=1
zend.assertions=1
zend.exception_ignore_args=0
zend.exception_string_param_max_len=15
short_open_tag=0
date.timezone=UTC`

// settings are php.ini's, in their order; a name is there once, unless it
// names an extension to load.
type settings struct {
	names, values []string
}

// add takes lines of NAME=VALUE.
func (s *settings) add(text string) {
next:
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		name, value = strings.Trim(name, space), strings.Trim(value, space)
		for i, n := range s.names {
			if n == name && name != "extension" && name != "zend_extension" {
				s.values[i] = value
				continue next
			}
		}
		s.names, s.values = append(s.names, name), append(s.values, value)
	}
}

// slashes escapes as PHP's addslashes does.
var slashes = strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`, "\x00", `\0`)

// args are the arguments that set them. The values are what a shell makes of
// them in double quotes: tests rely on it.
func (s settings) args() (args []string) {
	for i, name := range s.names {
		args = append(args, "-d", quoted(name+"="+slashes.Replace(s.values[i])))
	}
	return args
}

// quoted is what a shell makes of text between double quotes where it names
// no variable that is set.
func quoted(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && strings.IndexByte("$`\"\\", text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		case c == '$' && i+1 < len(text) && isName(text[i+1]):
			for i+1 < len(text) && (isName(text[i+1]) || text[i+1] >= '0' && text[i+1] <= '9') {
				i++
			}
		case c == '$' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			i++
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isName(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// words splits a command line as a shell does, without expansions.
func words(text string) (list []string) {
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(text):
			if quote == '"' && strings.IndexByte("$`\"\\", text[i+1]) < 0 {
				word.WriteByte(c)
			}
			i++
			word.WriteByte(text[i])
			in = true
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				list = append(list, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		list = append(list, word.String())
	}
	return list
}
