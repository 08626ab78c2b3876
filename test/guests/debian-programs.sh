#!/bin/sh
# Unpacks programs of Debian's with the libraries that they need, for an initramfs:
#
#   sh debian-programs.sh FOLDER PACKAGE,... PROGRAM...
#
# FOLDER gets `tree`. Packages come from the machine's apt sources, and nothing is configured; root
# is not needed.
set -eu
folder=$1
packages=$2
shift 2
# Another test that wanted the same has made it meanwhile.
[ ! -e "$folder/tree" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder/new"
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
sh "$(dirname "$0")/apt-sources.sh" "$release" >"$folder/sources"
mmdebstrap --quiet --variant=extract --architectures=amd64 --include="$packages" \
  "$release" "$folder/all.tar" "$folder/sources"
for program do
  set -- "$@" "./usr/bin/$program"
  shift
done
tar -x -C "$folder/new" -f "$folder/all.tar" --wildcards \
  './lib*/ld-linux-*' './lib/*/lib*.so*' './usr/lib/*/lib*.so*' "$@"
rm "$folder/all.tar" "$folder/sources"
mv "$folder/new" "$folder/tree"
