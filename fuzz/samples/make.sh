#!/bin/sh
# Makes the file systems that fuzz/file-systems.ts damages, with Debian's tools. Small and packed.
set -e
cd "$(dirname -- "$0")"
PATH=$PATH:/usr/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree/boot/grub" "$tree/many"
echo 'set default=0' > "$tree/boot/grub/grub.cfg"
yes kernel | head -c 45000 > "$tree/boot/vmlinuz-6.1.0-13-amd64"
for i in $(seq 1 40); do echo "$i" > "$tree/many/a file with a rather long name, number $i"; done
echo end | dd of="$tree/far" bs=1000 seek=400 status=none
mkfs.vfat -F 12 -C "$work/fat12.img" 200 >/dev/null
mcopy -s -i "$work/fat12.img" "$tree/boot" "$tree/many" ::/
ln -s boot/vmlinuz-6.1.0-13-amd64 "$tree/vmlinuz"
ln -s "$(printf '../tree/%.0s' 1 2 3 4 5 6 7 8 9)boot" "$tree/a-long-link"
mke2fs -q -t ext2 -b 1024 -N 64 -d "$tree" "$work/ext2.img" 200
mke2fs -q -t ext4 -b 1024 -N 64 -I 256 -O '^has_journal,inline_data,64bit,metadata_csum' \
  -d "$tree" "$work/ext4.img" 200
genisoimage -quiet -no-pad -R -J -o "$work/iso.img" "$tree"
truncate -s 200K "$work/gpt.img"
sfdisk -q "$work/gpt.img" <<EOF
label: gpt
start=34,size=40,name="one"
start=100,size=40
EOF
truncate -s 200K "$work/mbr.img"
sfdisk -q "$work/mbr.img" <<EOF
label: dos
start=1,size=20,type=83,bootable
start=40,size=300,type=5
start=50,size=20,type=82
start=80,size=20,type=83
EOF
for image in "$work"/*.img; do
  gzip -9nc "$image" > "$(basename "$image").gz"
done
