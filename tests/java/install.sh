#!/usr/bin/env bash
# Installs what functions in Java need and what the tests drive: a JDK with its debugger `jdb`, and Maven.
set -euo pipefail

missing() {
  for program in "$@"; do
    command -v "$program" >/dev/null || return 0
  done
  return 1
}
apt_install=$(dirname "$0")/../apt-install.sh
if missing java javac jar jdb; then
  "$apt_install" default-jdk-headless
fi
if missing mvn; then
  "$apt_install" maven
fi
