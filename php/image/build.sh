#!/usr/bin/env bash
# Builds PHP and the images php:8.4-cli and php:8.4-hako of it, in the data
# folder that HAKO_DATA names or hako's own.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x bin/hako ] || { echo "$0: bin/hako is not there: run make first" >&2; exit 1; }
php=${HAKO_PHP:-$(php/build/build.sh)}
for kind in cli hako; do
	bin/hako build -t "php:8.4-$kind" -f "php/image/$kind.toml" "$php"
done
