#!/bin/sh
# The machine's apt sources as lines of sources.list, those of the release that runs here:
#
#   sh apt-sources.sh RELEASE
set -eu
lines=$(apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
  awk -v release="$1" '$1 == "Packages" && $3 ~ "^" release "(-updates|-security)?$" {
    print "deb", $2, $3, $4 }' | sort -u)
if [ -z "$lines" ]; then
  echo "the machine's apt sources have nothing of $1" >&2
  exit 1
fi
echo "$lines"
