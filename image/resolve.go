package image

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is how many symbolic links one name may go through.
const maxLinks = 40

// resolveLinks returns the real path of a relative name, following symbolic
// links as if the image were the whole machine. What is not there stays as it
// is named. A link that leads above the root is refused. Readlink returns the
// target of the link at a path, "" if what is there is none, and
// [fs.ErrNotExist] if there is nothing.
func resolveLinks(name string, readlink func(at string) (string, error)) (string, error) {
	at, rest, links := ".", strings.Split(name, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", errorOf(ErrUnsafe, "a symbolic link leads out of the image")
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, err := readlink(next)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if target == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", errorOf(ErrUnsafe, "it goes through more than %d symbolic links", maxLinks)
		}
		if strings.HasPrefix(target, "/") {
			at = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
		if len(rest) > maxDepth*2 {
			return "", errorOf(ErrTooLarge, "symbolic links make the name too deep")
		}
	}
	return at, nil
}
