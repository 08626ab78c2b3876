#!/bin/sh
# Makes a Debian system that one can work in, as a raw image of a file system: systemd, an SSH
# server, apt, and Debian's cloud kernel with the initramfs that the system made for it.
#
#   sh debian-root.sh FOLDER
#
# FOLDER gets root.img, vmlinuz, initrd.img, and key, which may log in as root. Packages come from
# the machine's apt sources, of which those of the release that runs here are taken. Root is not
# needed: mmdebstrap then works in a user namespace or with fakechroot, and files get their owners
# by fakeroot. What is made here is Debian's; ours are the lines of `customize`.
set -eu
PATH=$PATH:/usr/sbin:/sbin
SIZE=640M
PACKAGES=systemd-sysv,udev,dbus,openssh-server,iproute2,ca-certificates,netbase,ifupdown
PACKAGES=$PACKAGES,isc-dhcp-client,iputils-ping,e2fsprogs,grub2-common,linux-image-cloud-amd64

customize() {
  echo guest >"$1/etc/hostname"
  echo 'LABEL=root / ext4 errors=remount-ro 0 1' >"$1/etc/fstab"
  printf '%s\n' 'auto lo' 'iface lo inet loopback' 'allow-hotplug enX0' 'iface enX0 inet dhcp' \
    >"$1/etc/network/interfaces"
  # On the console root needs no password; over the network only the key helps.
  sed -i 's/^root:[^:]*:/root::/' "$1/etc/shadow"
  mkdir -p -m 700 "$1/root/.ssh"
  cp "$folder/key.pub" "$1/root/.ssh/authorized_keys"
  # Tests bring repositories of their own.
  rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*
}

if [ "$1" = --customize ]; then
  customize "$2"
  exit
fi

folder=$1
# Others who wanted the same have made it meanwhile.
[ ! -e "$folder/root.img" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder/tree"
export folder
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
sh "$(dirname "$0")/apt-sources.sh" "$release" >"$folder/sources"
ssh-keygen -q -t ed25519 -N '' -C test -f "$folder/key"
mmdebstrap --quiet --variant=minbase --architectures=amd64 --include="$PACKAGES" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="sh '$0' --customize \"\$1\"" \
  "$release" "$folder/root.tar" "$folder/sources"

as_root=
[ "$(id -u)" = 0 ] || as_root=fakeroot
$as_root sh -eu -c '
  tar -x -C "$0/tree" -f "$0/root.tar"
  cp "$0"/tree/boot/vmlinuz-* "$0/vmlinuz"
  cp "$0"/tree/boot/initrd.img-* "$0/initrd.img"
  mke2fs -q -t ext4 -L root -d "$0/tree" "$0/new.img" "$1"
' "$folder" "$SIZE"
rm -rf "$folder/tree" "$folder/root.tar" "$folder/sources"
mv "$folder/new.img" "$folder/root.img"
