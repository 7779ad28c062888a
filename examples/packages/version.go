package main

import "strings"

// newer reports whether Debian's package version a is later than b, by the
// rules of deb-version(7).
func newer(a, b string) bool {
	ea, ua, ra := parts(a)
	eb, ub, rb := parts(b)
	for _, c := range [][2]string{{ea, eb}, {ua, ub}, {ra, rb}} {
		if n := compare(c[0], c[1]); n != 0 {
			return n > 0
		}
	}
	return false
}

// parts splits [epoch:]upstream[-revision].
func parts(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = e, rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// compare alternates between runs without digits, where '~' sorts before the
// end and letters before all else, and runs of digits, which are numbers.
func compare(a, b string) int {
	for a != "" || b != "" {
		for {
			x, y := order(a), order(b)
			if x != y {
				return x - y
			}
			if x == 0 {
				break
			}
			a, b = a[1:], b[1:]
		}
		var x, y string
		x, a = number0(a)
		y, b = number0(b)
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if n := strings.Compare(x, y); n != 0 {
			return n
		}
	}
	return 0
}

// order is the weight of the first byte in a run without digits; 0 ends it.
func order(s string) int {
	switch {
	case s == "" || s[0] >= '0' && s[0] <= '9':
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + 256
}

// number0 cuts a run of digits off, without its leading zeros.
func number0(s string) (digits, rest string) {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return strings.TrimLeft(s[:n], "0"), s[n:]
}
