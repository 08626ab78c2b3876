#!/bin/sh
# Unpacks Debian's stress-ng with the libraries that it needs, for an initramfs:
#
#   sh stress-ng.sh FOLDER
#
# FOLDER gets `tree`. Packages come from the machine's apt sources, and nothing is configured; root
# is not needed.
set -eu
folder=$1
# Another test that wanted the same has made it meanwhile.
[ ! -e "$folder/tree" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder/new"
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
sh "$(dirname "$0")/apt-sources.sh" "$release" >"$folder/sources"
mmdebstrap --quiet --variant=extract --architectures=amd64 --include=stress-ng \
  "$release" "$folder/all.tar" "$folder/sources"
tar -x -C "$folder/new" -f "$folder/all.tar" --wildcards \
  './lib*/ld-linux-*' './lib/*/lib*.so*' './usr/lib/*/lib*.so*' './usr/bin/stress-ng'
rm "$folder/all.tar" "$folder/sources"
mv "$folder/new" "$folder/tree"
