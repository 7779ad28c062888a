package phpt

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A Failure is a test that passes in the reference and not as WebAssembly.
type Failure struct {
	Test   string
	Cause  string // a word for what many have in common, such as fibers
	Reason string // why this one fails
}

//go:embed failing.txt
var failing string

// Failing are the tests that are known to fail as WebAssembly, by their names.
func Failing() (map[string]Failure, error) { return parseFailing(failing) }

func parseFailing(text string) (map[string]Failure, error) {
	list := map[string]Failure{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		part := strings.SplitN(line, "\t", 3)
		if len(part) < 2 || part[1] == "" {
			return nil, fmt.Errorf("failing.txt: %q: a line is a test, a cause and a reason, with tabs between them", line)
		}
		f := Failure{Test: part[0], Cause: part[1]}
		if len(part) == 3 {
			f.Reason = part[2]
		}
		if _, ok := list[f.Test]; ok {
			return nil, fmt.Errorf("failing.txt: %s is there twice", f.Test)
		}
		list[f.Test] = f
	}
	return list, nil
}

//go:embed sample.txt
var sample string

// Sample are the tests, across the sets, that are run with every change. All
// of them pass.
func Sample() []string { return strings.Fields(sample) }

// A Comparison is what passes in the reference against what passes as
// WebAssembly.
type Comparison struct {
	Sets   map[string]*Count
	Causes map[string]int // of listed failures, how many
	New    []Result       // of tests that pass in the reference only and are not listed
	Fixed  []string       // listed, and pass, or do not pass in the reference either
}

// A Count is of tests of a set.
type Count struct {
	Tests     int // all there are
	Reference int // that pass in the reference
	Wasm      int // of those, that pass as WebAssembly
	Listed    int // of the others, that are listed
}

// Compare makes a comparison of results. Listed tests that were not run are
// left alone.
func Compare(reference, wasm []Result, listed map[string]Failure) Comparison {
	c := Comparison{Sets: map[string]*Count{}, Causes: map[string]int{}}
	passes := map[string]bool{}
	for _, r := range reference {
		passes[r.Test] = r.Outcome == Passed
	}
	for _, r := range wasm {
		set := c.Sets[Set(r.Test)]
		if set == nil {
			set = &Count{}
			c.Sets[Set(r.Test)] = set
		}
		set.Tests++
		f, isListed := listed[r.Test]
		if passes[r.Test] {
			set.Reference++
		}
		switch {
		case r.Outcome == Passed || !passes[r.Test]:
			if passes[r.Test] {
				set.Wasm++
			}
			if isListed {
				c.Fixed = append(c.Fixed, r.Test)
			}
		case isListed:
			set.Listed++
			c.Causes[f.Cause]++
		default:
			c.New = append(c.New, r)
		}
	}
	return c
}

// Write writes the numbers as tables.
func (c Comparison) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var sum Count
	line := func(name string, n Count) {
		share := "-"
		if n.Reference > 0 {
			share = fmt.Sprintf("%.1f%%", 100*float64(n.Wasm)/float64(n.Reference))
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t%d\t\n", name, n.Tests, n.Reference, n.Wasm, share, n.Listed)
	}
	fmt.Fprint(tw, "set\ttests\tpass natively\tand on Wasm\t\tlisted\t\n")
	for _, set := range Sets {
		if n := c.Sets[set]; n != nil {
			line(set, *n)
			sum.Tests, sum.Reference, sum.Wasm, sum.Listed = sum.Tests+n.Tests, sum.Reference+n.Reference, sum.Wasm+n.Wasm, sum.Listed+n.Listed
		}
	}
	line("all", sum)
	if len(c.Causes) > 0 {
		fmt.Fprint(tw, "\n")
	}
	for _, cause := range slices.Sorted(maps.Keys(c.Causes)) {
		fmt.Fprintf(tw, "%s\t%d\t\n", cause, c.Causes[cause])
	}
	return tw.Flush()
}

// WriteResults writes results as lines that [ReadResults] reads: test, outcome
// and reason, with tabs between them. Outputs are left out.
func WriteResults(w io.Writer, results []Result) error {
	b := bufio.NewWriter(w)
	for _, r := range results {
		fmt.Fprintf(b, "%s\t%s\t%s\n", r.Test, r.Outcome, strings.ReplaceAll(firstLine(r.Reason), "\t", " "))
	}
	return b.Flush()
}

// ReadResults reads what WriteResults wrote.
func ReadResults(r io.Reader) (results []Result, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		part := strings.SplitN(s.Text(), "\t", 3)
		if len(part) != 3 {
			return nil, fmt.Errorf("read results of tests: %q is no line of them", s.Text())
		}
		results = append(results, Result{Test: part[0], Outcome: Outcome(part[1]), Reason: part[2]})
	}
	return results, s.Err()
}
