// A Go program that uses package os as programs do: temporary files, walking,
// replacing by rename, removing trees, deadlines, a listener handed over.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

func main() {
	what, dir := os.Args[1], ""
	if len(os.Args) > 2 {
		dir = os.Args[2]
	}
	var err error
	switch what {
	case "files":
		err = files(dir)
	case "serve":
		err = serve()
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("done")
}

func files(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o777); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "t-*")
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("0123456789"), 20000)
	if _, err := temp.Write(data); err != nil {
		return err
	}
	if err := errors.Join(temp.Sync(), temp.Close(), os.Rename(temp.Name(), filepath.Join(dir, "a/data"))); err != nil {
		return err
	}
	back, err := os.ReadFile(filepath.Join(dir, "a/data"))
	if err != nil || !bytes.Equal(back, data) {
		return fmt.Errorf("%d bytes read back, %v", len(back), err)
	}
	when := time.Unix(1234567890, 123456789)
	if err := os.Chtimes(filepath.Join(dir, "a/data"), when, when); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, "a/data"))
	if err != nil || !info.ModTime().Equal(when) || info.Size() != int64(len(data)) {
		return fmt.Errorf("stat: %v, %v", info, err)
	}
	if err := os.Symlink("data", filepath.Join(dir, "a/link")); err != nil {
		return err
	}
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("a/b/file-%03d", i)), nil, 0o666); err != nil {
			return err
		}
	}
	n := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		_, err = d.Info()
		n++
		return err
	})
	if err != nil || n != 306 {
		return fmt.Errorf("walked over %d names, %v", n, err)
	}
	one, _ := os.Stat(filepath.Join(dir, "a/data"))
	other, _ := os.Stat(filepath.Join(dir, "a/link"))
	if !os.SameFile(one, other) {
		return errors.New("a link leads to another file")
	}
	root, err := os.OpenRoot(filepath.Join(dir, "a"))
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Open("../a/data"); err == nil {
		return errors.New("the guest's own os.Root let it out")
	}
	f, err := root.Open("link")
	if err != nil {
		return err
	}
	if _, err := f.Seek(-3, io.SeekEnd); err != nil {
		return err
	}
	tail, err := io.ReadAll(f)
	if err != nil || string(tail) != "789" {
		return fmt.Errorf("the end is %q, %v", tail, err)
	}
	f.Close()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	fmt.Fprint(log, "one ")
	fmt.Fprint(log, "two")
	log.Close()
	if b, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || string(b) != "one two" {
		return fmt.Errorf("the log is %q, %v", b, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("still there: %v", err)
	}
	if _, err := os.Open("/etc/passwd"); err == nil {
		return errors.New("opened what is not granted")
	}
	for _, kv := range os.Environ() {
		fmt.Println(kv)
	}
	return nil
}

// serve takes two connections at once on the listener that is descriptor 3.
func serve() error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	done := make(chan error)
	ticks := make(chan int)
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			_, err := io.Copy(c, c)
			done <- errors.Join(err, c.Close())
		}()
	}
	go func() { // time goes on meanwhile
		time.Sleep(10 * time.Millisecond)
		ticks <- 1
	}()
	<-ticks
	return errors.Join(<-done, <-done)
}
