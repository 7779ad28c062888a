package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hako-run/hako/internal/nearest"
)

// copy does COPY, and ADD of local files.
func (d *dockerBuild) copy(ctx context.Context, in instruction) error {
	fromName, mode, err := d.copyFlags(in)
	if err != nil {
		return err
	}
	words, isJSON := jsonWords(in.rest)
	if !isJSON {
		words = strings.Fields(in.rest)
	}
	inline := map[string]*node{}
	docs := in.heredocs
	for i, word := range words {
		if !isJSON && len(docs) > 0 && heredocPattern.MatchString(word) {
			if inline[word], err = d.heredoc(docs[0]); err != nil {
				return err
			}
			docs = docs[1:]
			continue
		}
		if words[i], err = d.expand().word(word); err != nil {
			return err
		}
	}
	if len(words) < 2 {
		return fmt.Errorf("write %s SOURCE... DESTINATION", in.name)
	}
	sources, dest := words[:len(words)-1], words[len(words)-1]
	if dest == "" {
		return errors.New("the destination is empty")
	}
	from, where, err := d.copyFrom(ctx, fromName)
	if err != nil {
		return err
	}
	j := &copyJob{from: from, where: where, add: in.name == "ADD"}
	for _, source := range sources {
		if n := inline[source]; n != nil {
			j.items = append(j.items, copyItem{name: docName(source), node: n})
		} else if err := j.find(source); err != nil {
			return err
		}
	}
	j.toDir = len(sources) > 1 || strings.HasSuffix(dest, "/") || dest == "." || strings.HasSuffix(dest, "/.")
	if len(sources) > 1 && !strings.HasSuffix(dest, "/") && dest != "." && !strings.HasSuffix(dest, "/.") {
		return fmt.Errorf("the destination of several sources is a folder: write %s/", dest)
	}
	if !path.IsAbs(dest) {
		dest = path.Join("/", d.current.config.WorkingDir, dest)
	}
	c := &change{to: d.current.files, set: map[string]*node{}}
	if err := j.apply(c, dest, mode); err != nil {
		return err
	}
	return d.addLayer(ctx, in, c)
}

func docName(word string) string { return strings.Trim(strings.TrimLeft(word, "<-"), `"'`) }

// heredoc makes a file of a text.
func (d *dockerBuild) heredoc(h heredoc) (*node, error) {
	text := h.text
	if !h.quoted {
		x := d.expand()
		x.raw = true
		var err error
		if text, err = x.word(text); err != nil {
			return nil, err
		}
	}
	return &node{mode: 0o644, size: int64(len(text)), data: []byte(text)}, nil
}

// copyFrom returns the files that a name of --from stands for, and what to
// call them.
func (d *dockerBuild) copyFrom(ctx context.Context, name string) (*tree, string, error) {
	if name == "" {
		t, err := d.contextTree()
		return t, "the build context", err
	}
	if s := d.stage(name); s != nil {
		if s == d.current {
			return nil, "", fmt.Errorf("the stage %s cannot copy from itself", name)
		}
		return s.files, "stage " + name, nil
	}
	img, err := d.open(ctx, name)
	if errors.Is(err, ErrUnknownImage) || errors.Is(err, ErrReference) {
		return nil, "", fmt.Errorf("--from=%s is neither a stage before this one (%s) nor an image: %w", name, d.stageNames(), err)
	}
	if err != nil {
		return nil, "", err
	}
	t, err := d.imageFiles(ctx, img)
	return t, "image " + name, err
}

// A copyItem is what one source stands for.
type copyItem struct {
	name string // as it is given
	real string // its path in the tree
	node *node
}

// A copyJob is one COPY.
type copyJob struct {
	from  *tree
	where string // what from is, for errors
	add   bool   // it is ADD
	items []copyItem
	toDir bool
}

// find adds what a source names.
func (j *copyJob) find(source string) error {
	if j.add && (strings.Contains(source, "://") || strings.HasPrefix(source, "git@")) {
		return fmt.Errorf("%s would be fetched from the network, which makes builds that differ: fetch it before, and COPY it", source)
	}
	if slices.Contains(strings.Split(source, "/"), "..") && strings.HasPrefix(path.Clean(source), "..") {
		return errorOf(ErrUnsafe, "%s is outside of %s", source, j.where)
	}
	clean := strings.TrimPrefix(path.Clean("/"+source), "/")
	if clean == "" {
		clean = "."
	}
	names, err := j.from.match(clean)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("nothing in %s matches %s", j.where, source)
	}
	for _, name := range names {
		real, err := j.from.resolve(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		n := j.from.get(real)
		if n == nil {
			if near := nearest.Of(name, slices.Values(j.from.paths())); near != "" {
				return fmt.Errorf("%s is not in %s: did you mean %s?", source, j.where, near)
			}
			return fmt.Errorf("%s is not in %s, or .dockerignore leaves it out", source, j.where)
		}
		if j.add && !n.isDir() {
			if err := refuseArchive(name, n); err != nil {
				return err
			}
		}
		j.items = append(j.items, copyItem{name: name, real: real, node: n})
	}
	return nil
}

// refuseArchive refuses what Docker's ADD would unpack.
func refuseArchive(name string, n *node) error {
	if !n.mode.IsRegular() {
		return nil
	}
	r, err := n.open()
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 512)
	size, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	head = head[:size]
	for _, magic := range []string{"\x1f\x8b", "BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return fmt.Errorf("%s is an archive, which ADD would unpack: COPY it as it is, or unpack it before", name)
		}
	}
	if len(head) >= 262 && string(head[257:262]) == "ustar" {
		return fmt.Errorf("%s is an archive, which ADD would unpack: COPY it as it is, or unpack it before", name)
	}
	return nil
}

// apply copies all items to dest: a folder's content into it, files into it if
// it is a folder, and as it otherwise.
func (j *copyJob) apply(c *change, dest string, mode fs.FileMode) error {
	at, err := c.to.resolve(strings.TrimPrefix(path.Clean(dest), "/"))
	if err != nil {
		return fmt.Errorf("%s: %w", dest, err)
	}
	existing := c.to.get(at)
	if existing != nil && existing.isDir() {
		j.toDir = true
	}
	if len(j.items) > 1 && !j.toDir {
		return fmt.Errorf("%d files are to be copied to %s, which is no folder: write %s/", len(j.items), dest, dest)
	}
	for _, item := range j.items {
		if item.real == "" { // written in the Dockerfile
			to := at
			if j.toDir {
				to = path.Join(at, item.name)
			}
			n := *item.node
			if mode != 0 {
				n.mode = mode
			}
			if err := c.put(to, &n); err != nil {
				return err
			}
			continue
		}
		to := at
		if j.toDir && !item.node.isDir() {
			if to, err = c.to.resolve(path.Join(at, path.Base(item.name))); err != nil {
				return err
			}
		}
		if err := c.copyOne(j.from, item.real, to, mode); err != nil {
			return err
		}
	}
	return nil
}
