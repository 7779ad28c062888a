package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Where servers and clients run.
const (
	serverProcessor = 0
	clientProcessor = 1
)

// onProcessor lets a command have one processor, if there are several.
func onProcessor(n int, cmd *exec.Cmd) *exec.Cmd {
	if runtime.NumCPU() < 2 {
		return cmd
	}
	c := exec.Command("taskset", append([]string{"-c", fmt.Sprint(n), cmd.Path}, cmd.Args[1:]...)...)
	c.Env = cmd.Env
	return c
}

// A server is one that runs.
type server struct {
	cmd *exec.Cmd
	log bytes.Buffer
	url string // http://host:port
	tls string // host:port
}

// A world is all the servers.
type world struct {
	dir                                       string
	hako, hello, page, nginx, caddy, upstream *server

	mu  sync.Mutex
	all []*server
}

// free returns an address that nobody listens on.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// serve starts a server; its arguments and variables may name {http}, {tls} and
// {upstream}, which become addresses, and files are written with them.
func (w *world) serve(processor int, files map[string]string, env []string, args ...string) (*server, error) {
	plain, err := free()
	if err != nil {
		return nil, err
	}
	secure, err := free()
	if err != nil {
		return nil, err
	}
	names := []string{"{http}", plain, "{tls}", secure, "{dir}", w.dir, "{built}", *built, "{debian}", *debian}
	if w.upstream != nil {
		names = append(names, "{upstream}", strings.TrimPrefix(w.upstream.url, "http://"))
	}
	named := strings.NewReplacer(names...).Replace
	for name, text := range files {
		if err := os.WriteFile(w.path(name), []byte(named(text)), 0o644); err != nil {
			return nil, err
		}
	}
	for i := range args {
		args[i] = named(args[i])
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	for _, v := range env {
		cmd.Env = append(cmd.Env, named(v))
	}
	s := &server{cmd: onProcessor(processor, cmd), url: "http://" + plain, tls: secure}
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.all = append(w.all, s)
	w.mu.Unlock()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", plain)
		if err == nil {
			conn.Close()
			return s, nil
		}
		if time.Now().After(deadline) || syscall.Kill(s.cmd.Process.Pid, 0) != nil {
			return nil, fmt.Errorf("%s does not listen: %w\n%s", args[0], err, &s.log)
		}
	}
}

func (w *world) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
	w.all = nil
}

const hakoConfig = `
[server]
listen = ["http://{http}", "https://{tls}"]
data = "data"
log = { access = "off" }
tls = { certificates = [{ cert = "cert.pem", key = "key.pem" }] }
[[database]]
name = "blog"
[[app]]
name = "hello"
image = "{built}/hello.wasm"
template = { warm = ["/"] }
[[app]]
name = "c"
image = "{built}/hello-c.wasm"
[[app]]
name = "session"
image = "{built}/hello.wasm"
template = { fork = "session" }
[[app]]
name = "cgi"
image = "{built}/hello-cgi.wasm"
protocol = "cgi"
[[app]]
name = "page"
image = "{built}/page.wasm"
databases = ["blog"]
template = { warm = ["/", "/"] }
[[app]]
name = "page-session"
image = "{built}/page.wasm"
databases = ["blog"]
template = { fork = "session" }
[[upstream]]
name = "files"
url = "http://{upstream}"
[[route]]
match.path = "/hello"
app = "hello"
[[route]]
match.path = "/c"
app = "c"
[[route]]
match.path = "/session"
app = "session"
[[route]]
match.path = "/cgi"
app = "cgi"
[[route]]
match.path = "/page"
app = "page"
[[route]]
match.path = "/page-session"
app = "page-session"
[[filter]]
name = "lookups"
module = "{built}/lookups.wasm"
[[route]]
match.path = "/filter1/*"
strip = "/filter1"
filters = ["lookups"]
upstream = "files"
[[route]]
match.path = "/filter5/*"
strip = "/filter5"
filters = ["lookups", "lookups", "lookups", "lookups", "lookups"]
upstream = "files"
[[route]]
match.path = "/proxy/*"
strip = "/proxy"
upstream = "files"
[[route]]
static = "files"
`

// nginx as Debian's package has it, but for logs, with connections to the
// upstream kept as the others do by themselves.
const nginxConfig = `
%s
daemon off;
worker_processes 1;
pid {dir}/%[2]s.pid;
events { worker_connections 768; }
http {
	sendfile on;
	tcp_nopush on;
	default_type application/octet-stream;
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path {dir}/%[2]s-body;
	proxy_temp_path {dir}/%[2]s-proxy;
	fastcgi_temp_path {dir}/%[2]s-fastcgi;
	uwsgi_temp_path {dir}/%[2]s-uwsgi;
	scgi_temp_path {dir}/%[2]s-scgi;
	%[3]s
}
`

const nginxServer = `
	upstream files { server {upstream}; keepalive 128; keepalive_requests 1000000000; }
	ssl_certificate {dir}/cert.pem;
	ssl_certificate_key {dir}/key.pem;
	ssl_protocols TLSv1.2 TLSv1.3;
	server {
		listen {http};
		listen {tls} ssl http2;
		root {dir}/files;
		location /proxy/ {
			proxy_pass http://files/;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Host $host;
		}
	}
`

const caddyConfig = `
{
	admin off
	auto_https off
}
http://{http} {
	handle_path /proxy/* {
		reverse_proxy {upstream}
	}
	handle {
		root * {dir}/files
		file_server
	}
}
https://{tls} {
	tls {dir}/cert.pem {dir}/key.pem
	root * {dir}/files
	file_server
}
`

func (w *world) start() error {
	if err := w.prepare(); err != nil {
		return err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // who may read the folder
	}
	nginx := func(name string) []string {
		return []string{"{debian}/usr/sbin/nginx", "-e", "stderr", "-c", "{dir}/" + name + ".conf", "-p", "{dir}"}
	}
	var err error
	start := func(s **server, processor int, files map[string]string, env []string, args ...string) {
		if err == nil {
			*s, err = w.serve(processor, files, env, args...)
		}
	}
	start(&w.upstream, clientProcessor, map[string]string{
		"upstream.conf": fmt.Sprintf(nginxConfig, user, "upstream", "open_file_cache max=10;\nserver { listen {http}; root {dir}/files; }"),
	}, nil, nginx("upstream")...)
	start(&w.hako, serverProcessor, map[string]string{"hako.toml": hakoConfig}, nil, *hako, "up", "{dir}")
	start(&w.hello, serverProcessor, nil, []string{"HAKO_LISTEN={http}"}, "{built}/hello")
	start(&w.page, serverProcessor, nil, []string{"HAKO_LISTEN={http}", "HAKO_STORE={dir}/native/store"}, "{built}/page")
	start(&w.nginx, serverProcessor, map[string]string{"nginx.conf": fmt.Sprintf(nginxConfig, user, "nginx", nginxServer)}, nil, nginx("nginx")...)
	start(&w.caddy, serverProcessor, map[string]string{"Caddyfile": caddyConfig}, []string{"HOME={dir}", "XDG_DATA_HOME={dir}", "XDG_CONFIG_HOME={dir}"},
		"{debian}/usr/bin/caddy", "run", "--config", "{dir}/Caddyfile", "--adapter", "caddyfile")
	return err
}

// content fills the database: posts, each with comments.
const content = `
CREATE TABLE post(id INTEGER PRIMARY KEY, title TEXT, text TEXT);
CREATE TABLE comment(id INTEGER PRIMARY KEY, post INTEGER, name TEXT, text TEXT);
CREATE INDEX comment_post ON comment(post);
WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000)
	INSERT INTO post SELECT i, 'Post number ' || i, replace(hex(zeroblob(100)), '00', 'words and ') FROM n;
WITH n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 9999)
	INSERT INTO comment(post, name, text) SELECT 1 + i/10, 'Reader ' || i, 'What I think of this is ' || i FROM n;
`

// prepare writes files, a certificate and the database, once for each server.
func (w *world) prepare() error {
	if err := os.MkdirAll(w.path("files"), 0o755); err != nil {
		return err
	}
	errs := certificate(w.path("cert.pem"), w.path("key.pem"))
	for name, size := range map[string]int{"1k.bin": 1 << 10, "100k.bin": 100 << 10} {
		errs = errors.Join(errs, os.WriteFile(filepath.Join(w.dir, "files", name), bytes.Repeat([]byte("x"), size), 0o644))
	}
	for _, data := range []string{"data", "native"} {
		for _, args := range [][]string{{"create", "blog"}, {"shell", "blog", content}} {
			cmd := exec.Command(*hako, append([]string{"--data", w.path(data), "db"}, args...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("hako db %s: %w\n%s", args[0], err, out)
			}
		}
	}
	// What guests were compiled to is kept from one run to the next.
	compiled := filepath.Join(*built, "compiled")
	return errors.Join(errs, os.MkdirAll(compiled, 0o755), os.Symlink(compiled, filepath.Join(w.path("data"), "compiled")))
}

// certificate writes one of the kind that is common now: P-256.
func certificate(cert, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	der2, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der2}), 0o600))
}
