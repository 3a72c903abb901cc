#!/bin/sh
# Runs a program in a root file system: `enter.sh DIRECTORY PROGRAM…`. What is mounted for it goes with it, as do all processes. Where the
# programs in it are of another kind, QEMU runs them ($QEMU, an executable that needs no others), for these processes only.
set -eu
root=$1
shift
export ROOT="$root"
inside='
  set -eu
  if [ -n "${QEMU-}" ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    # The magic number of a program for arm64. F: opened now, since it is not in the root.
    printf "%s" ":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$QEMU:F" \
      >/proc/sys/fs/binfmt_misc/register
  fi
  mount -t proc proc "$ROOT/proc"
  mount --rbind /dev "$ROOT/dev"
  exec chroot "$ROOT" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin NO_COLOR=1 LANG=C.UTF-8 \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"
'
exec unshare ${QEMU:+--user --map-root-user} --mount --pid --fork --kill-child=SIGTERM sh -c "$inside" enter "$@"
