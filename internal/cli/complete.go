package cli

import (
	"strconv"
	"strings"

	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

// A completer is what cobra asks for the words that an argument can be.
type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// complete returns a completer that has one kind for each argument.
func (a *app) complete(kinds ...func(s *pagestore.Store, args []string, word string) []string) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(kinds) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		kind := kinds[len(args)]
		if kind == nil {
			return nil, cobra.ShellCompDirectiveDefault // a file
		}
		var words []string
		directive := cobra.ShellCompDirectiveNoFileComp
		// Who presses Tab does not want to know what is wrong.
		_ = a.withStore(false, func(s *pagestore.Store) error {
			words = kind(s, args, word)
			return nil
		})
		if len(words) == 1 && strings.HasSuffix(words[0], "@") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return words, directive
	}
}

// fixedWords completes what can only be one of a few words.
func fixedWords(words ...string) completer {
	return func(_ *cobra.Command, _ []string, word string) (list []string, _ cobra.ShellCompDirective) {
		for _, w := range words {
			if strings.HasPrefix(w, word) {
				list = append(list, w)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNone is for names that are new.
func completeNone(*pagestore.Store, []string, string) []string { return nil }

func completeName(s *pagestore.Store, _ []string, word string) []string {
	names, err := s.Names()
	if err != nil {
		return nil
	}
	var list []string
	for _, name := range names {
		if strings.HasPrefix(name, word) {
			list = append(list, name)
		}
	}
	return list
}

// completeSnapshot completes names, and after '@' tags and the last versions.
func completeSnapshot(s *pagestore.Store, args []string, word string) []string {
	name, at, found := strings.Cut(word, "@")
	if !found {
		return completeName(s, args, word)
	}
	d, err := s.Database(name)
	if err != nil {
		return nil
	}
	var list []string
	add := func(what, note string) {
		if strings.HasPrefix(what, at) {
			list = append(list, name+"@"+what+"\t"+note)
		}
	}
	if tags, err := d.Tags(); err == nil {
		for _, t := range tags {
			add(t.Name, "version "+versionText(t.Version))
		}
	}
	for c, err := range d.Log(pagestore.LogOptions{Limit: 20}) {
		if err != nil {
			break
		}
		add(versionText(c.Version), strings.TrimSpace(timeText(c.Time)+" "+c.Note))
	}
	return list
}

// completeTag completes the tags of the database that is the first argument.
func completeTag(s *pagestore.Store, args []string, word string) []string {
	d, err := s.Database(args[0])
	if err != nil {
		return nil
	}
	tags, err := d.Tags()
	if err != nil {
		return nil
	}
	var list []string
	for _, t := range tags {
		if strings.HasPrefix(t.Name, word) {
			list = append(list, t.Name+"\tversion "+versionText(t.Version))
		}
	}
	return list
}

func versionText(v pagestore.Version) string { return strconv.FormatUint(uint64(v), 10) }
