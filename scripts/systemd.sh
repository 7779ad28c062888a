#!/usr/bin/env bash
# Finds or installs systemd's tools, by which tests check units, and prints the
# path of systemd-analyze.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	apt_install systemd-analyze systemd
} >&2
command -v systemd-analyze
