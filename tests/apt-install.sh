#!/usr/bin/env bash
# Installs packages of Debian or Ubuntu, one call at a time: apt-install.sh [OPTION…] PACKAGE…
set -euo pipefail
command -v apt-get >/dev/null || { echo "error: install these with your package manager: $*" >&2; exit 1; }
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
exec 9>"${TMPDIR:-/tmp}/sst-apt-install.lock"
flock 9
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" 9>&-
