# Sourced by the other scripts: finds or installs what they need.
export PATH=$PATH:/usr/local/go/bin

say() { printf '   %s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# as_root COMMAND... runs a command as root.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && { [ -t 2 ] || sudo -n true 2>/dev/null; }; then # without a terminal nobody can give a password
		sudo "$@"
	else
		fail "this takes root, and there is no sudo that lets you be it: run this as root, or what it would run: $*"
	fi
}

# apt_install COMMAND PACKAGE... installs packages unless the command is there.
# Tests of several packages may ask at once: they wait for each other.
apt_install() {
	local command=$1 kept=${HAKO_CACHE:-$HOME/.cache/hako}
	shift
	command -v "$command" >/dev/null && return
	command -v apt-get >/dev/null || fail "$command is missing, and there is no apt-get to install it: install what Debian has in the packages $*"
	mkdir -p "$kept"
	(
		flock 9
		hash -r
		command -v "$command" >/dev/null && exit
		step "install $*"
		# What can be installed is asked for once in an hour.
		if [ -z "$(find "$kept/apt-updated" -mmin -60 2>/dev/null)" ] || ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
			as_root apt-get update -q && touch "$kept/apt-updated"
		fi
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qy --no-install-recommends "$@"
	) 9>"$kept/apt-lock" || fail "$command is missing, and $* cannot be installed"
	hash -r
}

command -v go >/dev/null || fail "Go 1.26 or newer is needed: https://go.dev/dl/"
case $(uname -s) in
Linux) apt_install gcc gcc libc6-dev ;; # for the race detector and for SQLite in C in the benchmarks
esac
