#!/usr/bin/env bash
# Installs the debuggers that the tests drive: Delve, LLDB with lldb-dap, gdb, and debugpy in a virtual environment.
# usage: install.sh DIRECTORY, in which `bin/` and the virtual environment `python/` are made.
set -euo pipefail

DELVE=v1.27.1
DEBUGPY=1.8.22

directory=$1
mkdir -p "$directory/bin"
# Several tests may want them at the same time.
exec 8>"$directory/lock"
flock 8

if [ "$("$directory/bin/dlv" version 2>/dev/null | sed -n 's/^Version: /v/p')" != "$DELVE" ]; then
  GOBIN="$directory/bin" go install "github.com/go-delve/delve/cmd/dlv@$DELVE"
fi

lldb_dap() {
  for name in lldb-dap lldb-dap-{16..30}; do
    command -v "$name" && return
  done
  return 1
}
apt_install=$(dirname "$0")/../apt-install.sh
if ! lldb_dap >/dev/null; then
  # Debian 12 has several; where there is one, it is new enough.
  "$apt_install" lldb-19 || "$apt_install" lldb
  lldb_dap >/dev/null
fi
if ! command -v gdb >/dev/null || ! command -v gdbserver >/dev/null; then
  "$apt_install" gdb gdbserver
fi

# One whose making was interrupted has an interpreter, and nothing else.
"$directory/python/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$directory/python"
"$directory/python/bin/python" -c "import debugpy; assert debugpy.__version__ == '$DEBUGPY'" 2>/dev/null ||
  "$directory/python/bin/python" -m pip install --quiet --disable-pip-version-check "debugpy==$DEBUGPY"
