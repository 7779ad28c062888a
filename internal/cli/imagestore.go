package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hako-run/hako/image"
	"github.com/spf13/cobra"
)

// imageCommands are the verbs of images.
func (a *app) imageCommands() []*cobra.Command {
	return []*cobra.Command{
		a.buildCommand(), a.pullCommand(), a.pushCommand(), a.imagesCommand(), a.imageTagCommand(),
		a.inspectCommand(), a.rmiCommand(), a.saveCommand(), a.loadCommand(),
	}
}

// imagesDir is where images lie within the data directory.
func imagesDir(data string) string { return filepath.Join(data, "images") }

// imageStore returns the store of images. It makes nothing.
func (a *app) imageStore() (*image.Store, error) {
	data, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	return image.OpenStore(imagesDir(data), image.Options{}), nil
}

// withImages gives f the store of images, and adds to its error what to do.
func (a *app) withImages(f func(ctx context.Context, s *image.Store, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.imageStore()
		if err != nil {
			return err
		}
		return imageError(f(cmd.Context(), s, args))
	}
}

// imageError adds what to do to an error of package image.
func imageError(err error) error {
	var unknown *image.UnknownImageError
	switch {
	case errors.Is(err, image.ErrReference), errors.Is(err, image.ErrBuildFile):
		return usageError{err}
	case errors.As(err, &unknown) && unknown.Nearest == "":
		return hintedError{err, "`hako images` shows the images, `hako pull` fetches one, `hako build` makes one"}
	case errors.Is(err, image.ErrDiskFull):
		return hintedError{err, "free some space and try again; `hako images prune` removes images without a name"}
	}
	return err
}

// insecureFlag gives cmd --insecure.
func insecureFlag(cmd *cobra.Command, insecure *bool) {
	cmd.Flags().BoolVar(insecure, "insecure", false, "allow plain HTTP to registries on other machines")
}

// pullImage pulls with a bar.
func (a *app) pullImage(ctx context.Context, s *image.Store, ref string, o image.PullOptions) (image.Pulled, error) {
	p := a.progress("pull "+ref, "asking the registry", true)
	defer p.end()
	o.Progress = p.update
	return s.Pull(ctx, ref, o)
}

// completeImage completes the names of images, of as many arguments as most;
// -1 is any number.
func (a *app) completeImage(most int) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		s, err := a.imageStore()
		if err != nil || most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := s.List(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for _, i := range list {
			if name := nameText(i.Name); strings.HasPrefix(name, word) && name != noName {
				words = append(words, name)
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// noName is what an image without a name is called.
const noName = "-"

func nameText(r image.Reference) string {
	if r == (image.Reference{}) {
		return noName
	}
	return r.String()
}

// shortDigest is a digest as people read and write it.
func shortDigest(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(12, len(hex))]
}

// createdText is when an image was made; builds that can be repeated say 1970,
// which tells nothing.
func createdText(t time.Time) string {
	if t.Unix() <= 0 {
		return "-"
	}
	return t.Local().Format("2006-01-02T15:04:05Z07:00")
}

// removed says what a removal did, on a line each.
func (a *app) removed(r image.Removed) error {
	if a.json {
		return a.printJSON(struct {
			Untagged []string `json:"untagged"`
			Deleted  []string `json:"deleted"`
			Freed    int64    `json:"freed"`
			Deferred bool     `json:"deferred"`
		}{append([]string{}, r.Untagged...), append([]string{}, r.Deleted...), r.Freed, r.Deferred})
	}
	for _, name := range r.Untagged {
		if err := a.say("untagged %s", name); err != nil {
			return err
		}
	}
	for _, digest := range r.Deleted {
		if err := a.say("deleted %s", digest); err != nil {
			return err
		}
	}
	if r.Deferred {
		fmt.Fprintln(a.Err, "hako: images are in use just now; `hako images prune` frees their space later")
	}
	return nil
}
