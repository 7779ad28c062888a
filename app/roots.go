package app

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hako-run/hako/wasi"
)

// rootsGuest is where guests find certificates of authorities, in the file
// that OpenSSL looks for unless it is told otherwise.
const (
	rootsGuest = "/etc/ssl"
	rootsName  = "cert.pem"
)

// rootsHost are the files in which systems keep the certificates of the
// authorities that they trust.
var rootsHost = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Arch, Alpine
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/certs/ca-bundle.crt",                  // older RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, BSD, macOS
}

// maxRoots bounds the file.
const maxRoots = 16 << 20

// hostRoots returns the certificates of the authorities that this machine
// trusts, or those of $SSL_CERT_FILE; nil if there are none.
func hostRoots() []byte {
	files := rootsHost
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		files = []string{file}
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxRoots {
			continue
		}
		if b, err := os.ReadFile(file); err == nil {
			return b
		}
	}
	return nil
}

// roots returns the folder with the host's certificates for a guest that may
// connect to others, unless it is given one of its own. An image's would be as
// old as the image, and not know what this machine was told to trust.
func (s *Spec) roots() []wasi.Mount {
	if len(s.Network) == 0 {
		return nil
	}
	for _, d := range s.Dirs {
		if guest := path.Clean(d.Guest) + "/"; strings.HasPrefix(guest, rootsGuest+"/") {
			return nil
		}
	}
	if s.Root != "" {
		if _, err := os.Lstat(filepath.Join(s.Root, rootsGuest)); err == nil {
			return nil
		}
	}
	b := hostRoots()
	if b == nil {
		return nil
	}
	fs := wasi.NewMemoryFS(maxRoots + 4096)
	if fs.WriteFile(rootsName, b) != nil {
		return nil
	}
	return []wasi.Mount{{Dir: fs.Root(), Guest: rootsGuest, ReadOnly: true}}
}
