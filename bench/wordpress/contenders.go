package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

// A contender serves the site.
type contender struct {
	name, dir, url string
	commands       [][]string // that serve it, in this order
	running        []*exec.Cmd
	owner          *visitor.Visitor
	rates, times   [3][]float64 // for each page
	peak           float64      // MB
}

func free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	return l.Addr().String()
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// edit replaces text in a file; all of it has to be there.
func edit(file string, pairs ...string) {
	b, err := os.ReadFile(file)
	check(err)
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(b, []byte(pairs[i])) {
			check(fmt.Errorf("%s has no %q", file, pairs[i]))
		}
	}
	check(os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(b))), 0o644))
}

// newHako makes a site of Hako's; a database to begin with is imported.
func newHako(dir, name, fork, database string) *contender {
	address := free()
	folder := strings.NewReplacer(", ", "-", " ", "-").Replace(name) // for nginx's configuration
	c := &contender{name: name, dir: filepath.Join(dir, folder), url: "http://" + address}
	app := "content"
	check(run(*hako, "init", "wordpress", "--name", app, "--listen", address, "--php", filepath.Join(*php, "php-hako.wasm"), "--php-cli", filepath.Join(*php, "php.wasm"), c.dir))
	// What is compiled is kept from one run to the next.
	cache, err := os.UserCacheDir()
	check(err)
	compiled := filepath.Join(cache, "hako", "compiled")
	check(os.MkdirAll(compiled, 0o700))
	check(os.Mkdir(filepath.Join(c.dir, ".hako"), 0o700))
	check(os.Symlink(compiled, filepath.Join(c.dir, ".hako", "compiled")))
	config := filepath.Join(c.dir, "hako.toml")
	if database != "" {
		edit(config, `retain = "90d"`, fmt.Sprintf("import = %q\nretain = \"90d\"", database))
	}
	edit(config, "template  = {", fmt.Sprintf("template  = { fork = %q,", fork))
	c.commands = [][]string{{*hako, "up", c.dir}}
	return c
}

// copySite copies the files of a site, with the database as an ordinary file.
func copySite(dir, name, database string) (site, core string) {
	made := newHako(dir, name, "request", "")
	core = filepath.Join(made.dir, "wordpress")
	check(os.Rename(filepath.Join(made.dir, "wp-content"), filepath.Join(core, "wp-content")))
	data := filepath.Join(made.dir, "db")
	check(os.Mkdir(data, 0o777))
	b, err := os.ReadFile(database)
	check(err)
	check(os.WriteFile(filepath.Join(data, "site.sqlite"), b, 0o666))
	edit(filepath.Join(core, "wp-config.php"), "'DB_DIR', '/db'", fmt.Sprintf("'DB_DIR', '%s'", data))
	return made.dir, core
}

// newFPM is nginx with php-fpm behind it, as Debian configures them: workers
// that live on.
func newFPM(dir, name string, opcache bool, database string) *contender {
	site, core := copySite(dir, name, database)
	address := free()
	c := &contender{name: name, dir: site, url: "http://" + address}
	socket := filepath.Join(os.TempDir(), fmt.Sprintf("hako-bench-%d-%t.sock", os.Getpid(), opcache))
	write := func(file, text string) string {
		file = filepath.Join(site, file)
		check(os.WriteFile(file, []byte(text), 0o644))
		return file
	}
	on := map[bool]string{true: "1", false: "0"}[opcache]
	pool := write("fpm.conf", fmt.Sprintf(`[global]
error_log = %[1]s/fpm.log
daemonize = no
[www]
listen = %[2]s
listen.mode = 0666
pm = static
pm.max_children = 16
php_admin_value[opcache.enable] = %[3]s
php_admin_value[opcache.revalidate_freq] = 0
php_admin_value[memory_limit] = 256M
`, site, socket, on))
	server := write("nginx.conf", fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
events {}
http {
	include /etc/nginx/mime.types;
	access_log off;
	client_body_temp_path %[1]s/body;
	fastcgi_temp_path %[1]s/fastcgi;
	proxy_temp_path %[1]s/proxy;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	gzip on;
	server {
		listen %[2]s;
		root %[3]s;
		index index.php;
		location / { try_files $uri $uri/ /index.php?$args; }
		location ~ \.php$ {
			include /etc/nginx/fastcgi.conf;
			fastcgi_param HTTP_HOST $http_host;
			fastcgi_pass unix:%[4]s;
		}
	}
}
`, site, address, core, socket))
	fpmRun := []string{*fpm, "-F", "-y", pool}
	if os.Getuid() == 0 {
		// It runs as the one who measures: the files are his.
		edit(pool, "listen.mode", "user = root\ngroup = root\nlisten.mode")
		fpmRun = append(fpmRun, "-R")
		edit(server, "daemon off;", "daemon off;\nuser root;")
	}
	c.commands = [][]string{fpmRun, {*nginx, "-p", site, "-e", filepath.Join(site, "nginx.log"), "-c", server}}
	return c
}

// newPlayground is WordPress Playground's server on Node.
func newPlayground(dir, name, database string) *contender {
	site, core := copySite(dir, name, database)
	_, port, err := net.SplitHostPort(free())
	check(err)
	edit(filepath.Join(core, "wp-config.php"), filepath.Join(site, "db"), "/wordpress/db")
	check(os.Rename(filepath.Join(site, "db"), filepath.Join(core, "db")))
	c := &contender{name: name, dir: site, url: "http://127.0.0.1:" + port}
	c.commands = [][]string{{"node", *play, "server", "--port=" + port, "--php=8.3", "--mount-before-install=" + core + ":/wordpress", "--wordpress-install-mode=do-not-attempt-installing", "--skip-sqlite-setup"}}
	return c
}

// start starts a contender and waits until it answers.
func (c *contender) start() error {
	log, err := os.Create(filepath.Join(c.dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	for _, command := range c.commands {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stderr = log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its processes are found
		if err := cmd.Start(); err != nil {
			return err
		}
		started.Store(cmd.Process.Pid, nil)
		c.running = append(c.running, cmd)
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(c.url + "/wp-login.php")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
			err = fmt.Errorf("it answers %d", resp.StatusCode)
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s does not serve: %w\n%s", c.name, err, text)
		}
	}
}

func (c *contender) stop() {
	for i := len(c.running) - 1; i >= 0; i-- {
		cmd := c.running[i]
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		started.Delete(cmd.Process.Pid)
	}
	c.running = nil
}

// processes returns those of the contender: the groups that it was started in.
func (c *contender) processes() (pids []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		fields := stat(file)
		for _, cmd := range c.running {
			if len(fields) > 2 && fields[2] == strconv.Itoa(cmd.Process.Pid) {
				pids = append(pids, filepath.Base(filepath.Dir(file)))
			}
		}
	}
	return pids
}

// stat returns the fields of a /proc/PID/stat after the command's name: state,
// parent, group and so on.
func stat(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil // it has ended
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.Fields(rest)
}

// cpu returns the processor time of the contender so far.
func (c *contender) cpu() (total time.Duration) {
	const tick = 10 * time.Millisecond // as Linux counts it for programs
	for _, pid := range c.processes() {
		fields := stat("/proc/" + pid + "/stat")
		if len(fields) < 15 {
			continue
		}
		for _, i := range []int{11, 12} { // utime, stime
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			total += time.Duration(n) * tick
		}
	}
	return total
}

// memory returns the proportional set size of the contender, in MB.
func (c *contender) memory() (mb float64) {
	for _, pid := range c.processes() {
		b, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		_, rest, ok := strings.Cut(string(b), "\nPss:")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			kb, _ := strconv.ParseFloat(fields[0], 64)
			mb += kb / 1024
		}
	}
	return mb
}
