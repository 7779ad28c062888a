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

// A Comparison is what passes as WebAssembly against what passes in the
// reference.
type Comparison struct {
	Sets   map[string]*Count
	Causes map[string]int // of listed failures, how many
	New    []Result       // of tests that pass in the reference only and are not listed
	Fixed  []string       // listed, and pass, or do not pass in the reference either
}

// A Count is of tests of a set.
type Count struct {
	Tests  int // all there are
	Passed int // as WebAssembly
	Lost   int // that did not, and pass in the reference
	Listed int // of those, that are listed
}

// Compare makes a comparison of results. The reference need have run only what
// did not pass as WebAssembly. Listed tests that were not run are left alone.
func Compare(wasm, reference []Result, listed map[string]Failure) Comparison {
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
		lost := r.Outcome != Passed && passes[r.Test]
		if r.Outcome == Passed {
			set.Passed++
		}
		if lost {
			set.Lost++
		}
		switch {
		case isListed && !lost:
			c.Fixed = append(c.Fixed, r.Test)
		case isListed:
			set.Listed++
			c.Causes[f.Cause]++
		case lost:
			c.New = append(c.New, r)
		}
	}
	return c
}

// Write writes the numbers as tables. The share is of what passes in either.
func (c Comparison) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var sum Count
	line := func(name string, n Count) {
		share := "-"
		if all := n.Passed + n.Lost; all > 0 {
			share = fmt.Sprintf("%.1f%%", 100*float64(n.Passed)/float64(all))
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\t\n", name, n.Tests, n.Passed, n.Lost, share)
	}
	fmt.Fprint(tw, "set\ttests\tpass\tpass natively only\t\t\n")
	for _, set := range Sets {
		if n := c.Sets[set]; n != nil {
			line(set, *n)
			sum.Tests, sum.Passed, sum.Lost, sum.Listed = sum.Tests+n.Tests, sum.Passed+n.Passed, sum.Lost+n.Lost, sum.Listed+n.Listed
		}
	}
	line("all", sum)
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, cause := range slices.Sorted(maps.Keys(c.Causes)) {
		if _, err := fmt.Fprintf(w, "%6d %s\n", c.Causes[cause], cause); err != nil {
			return err
		}
	}
	return nil
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
