#!/usr/bin/env bash
# Installs Chromium, unless it is there.
set -euo pipefail
command -v chromium >/dev/null || "$(dirname "$0")/../../apt-install.sh" --no-install-recommends chromium fonts-dejavu-core fonts-symbola
