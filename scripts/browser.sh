#!/usr/bin/env bash
# Finds or installs Chromium, by which tests look at pages, and prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	apt_install chromium chromium fonts-dejavu-core
} >&2
command -v chromium
