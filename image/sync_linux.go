package image

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes all files below dir durable, with one call for all.
func syncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
