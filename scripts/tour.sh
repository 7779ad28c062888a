# What the tours share: sourced, after scripts/setup.sh.

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

# show COMMAND... runs a command and shows it as one would type it.
show() {
	local word line=
	for word; do
		case $word in
		"$hako") word=hako ;;
		*[\ \']*) word=\"$word\" ;;
		esac
		line+=" $word"
	done
	printf '\n%s$%s%s\n' "$bold" "$line" "$plain"
	"$@"
}

# free_port FIRST prints the first port from there on that nobody listens on.
free_port() {
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo "$port"
}

# serve FOLDER LOG URL serves a folder until the script ends, and waits until it
# answers.
serve() {
	local i
	printf '%s$ hako up %s%s\n' "$bold" "$1" "$plain"
	"$hako" up "$1" >"$2" 2>&1 &
	server=$!
	trap stop EXIT
	trap 'stop; exit 130' INT TERM
	for ((i = 0; ; i++)); do
		curl -fso /dev/null "$3" && break
		kill -0 "$server" 2>/dev/null || { cat "$2" >&2; fail "hako up ended"; }
		((i < 3000)) || { cat "$2" >&2; fail "hako up does not answer at $3"; }
		sleep 0.1
	done
	echo "It answers at $3; its log is ${2#"$PWD"/}."
}

stop() {
	trap - EXIT
	kill "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
}
