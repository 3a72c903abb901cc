#!/usr/bin/env bash
# Installs a real VS Code (code-server), playwright-core, and Chromium: install.sh DIR
#
# code-server 4.100.3 is VS Code 1.100.3 and runs on Node 20. Its own post-install step downloads from elsewhere what is here taken
# from the system or built, one step after the other.
set -euo pipefail
dir=$1
version=4.100.3
complete=$dir/complete-$version
[ -f "$complete" ] && exit 0
mkdir -p "$dir"
exec 8>"$dir/lock"
flock 8
[ -f "$complete" ] && exit 0

if ! command -v chromium >/dev/null || ! command -v rg >/dev/null || ! command -v g++ >/dev/null; then
  "$(dirname "$0")/../apt-install.sh" --no-install-recommends chromium fonts-dejavu-core fonts-symbola ripgrep g++ make python3 pkg-config libkrb5-dev
fi

# Node's headers lie beside it: nothing is to be downloaded for node-gyp.
node_root=$(dirname "$(dirname "$(readlink -f "$(node -p process.execPath)")")")
[ -f "$node_root/include/node/node_api.h" ] || { echo "no Node headers under $node_root" >&2; exit 1; }
export npm_config_nodedir=$node_root
node_gyp=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")/node_modules/node-gyp/bin/node-gyp.js

mkdir -p "$dir" && cd "$dir" && dir=$PWD && complete=$dir/complete-$version
[ -f package.json ] || npm init -y >/dev/null
npm install --ignore-scripts --no-save "code-server@$version" playwright-core@1.65.1

cd node_modules/code-server/lib/vscode
npm install --ignore-scripts --no-save --omit=dev
(cd extensions && npm install --ignore-scripts --no-save --omit=dev)

# The native modules that the server loads, built from source.
for module in node-pty @vscode/spdlog native-watchdog kerberos; do
  [ -f "node_modules/$module/binding.gyp" ] || continue
  [ -d "node_modules/$module/prebuilds/linux-x64" ] && continue
  (cd "node_modules/$module" && node "$node_gyp" rebuild)
done
(cd "$dir" && npm rebuild --foreground-scripts argon2)

# ripgrep: Debian's, where this version does not carry its own.
if [ -d node_modules/@vscode/ripgrep ]; then
  mkdir -p node_modules/@vscode/ripgrep/bin
  cp "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
fi

# What code-server's postinstall.sh links.
ln -sfn node_modules node_modules.asar
ln -sf code-linux.sh bin/remote-cli/code-server
ln -sf browser-linux.sh bin/helpers/browser.sh

cd "$dir"
XDG_CONFIG_HOME=$(mktemp -d) XDG_DATA_HOME=$(mktemp -d) node node_modules/code-server/out/node/entry.js --version
touch "$complete"
