#!/usr/bin/env bash
# Installs what the counterpart runs besides Python: AWS's runtime interface emulator, nghttpx, which speaks TLS and HTTP/2 for it, and QEMU,
# which stands for Lambda's arm64 machines.
# usage: install.sh DIRECTORY, in which `bin/` is made.
set -euo pipefail

EMULATOR=v0.0.0-20261030222936-bef5c4ba774d

directory=$1
mkdir -p "$directory/bin"
# Several tests may want them at the same time.
exec 8>"$directory/lock"
flock 8

# It does not tell its version, and must not be asked: `--help` would start it on all addresses.
if [ ! -x "$directory/bin/aws-lambda-rie" ] || [ "$(cat "$directory/version" 2>/dev/null)" != "$EMULATOR" ]; then
  go=$(command -v go || echo /usr/local/go/bin/go)
  GOBIN="$directory/bin" "$go" install "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@$EMULATOR"
  echo "$EMULATOR" >"$directory/version"
fi

PATH=$PATH:/usr/sbin command -v nghttpx >/dev/null || "$(dirname "$0")/../apt-install.sh" --no-install-recommends nghttp2-proxy
command -v qemu-aarch64 >/dev/null || "$(dirname "$0")/../apt-install.sh" --no-install-recommends qemu-user
command -v openssl >/dev/null || "$(dirname "$0")/../apt-install.sh" --no-install-recommends openssl
