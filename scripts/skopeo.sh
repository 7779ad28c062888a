#!/usr/bin/env bash
# Finds or installs skopeo, by which tests check images, and prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	apt_install skopeo skopeo
} >&2
command -v skopeo
