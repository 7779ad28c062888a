# Sourced by the other scripts: finds or installs what they need.
export PATH=$PATH:/usr/local/go/bin

say() { printf '   %s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# apt_install COMMAND PACKAGE... installs packages unless the command is there.
apt_install() {
	local command=$1
	shift
	command -v "$command" >/dev/null && return
	step "install $*"
	[ "$(id -u)" = 0 ] || sudo=sudo
	${sudo:-} apt-get update -q
	${sudo:-} env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

command -v go >/dev/null || fail "Go 1.26 or newer is needed: https://go.dev/dl/"
case $(uname -s) in
Linux) apt_install gcc gcc libc6-dev ;; # for the race detector and for SQLite in C in the benchmarks
esac
