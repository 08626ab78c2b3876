#!/bin/sh
# `npm start`: boots the first guest.
set -e
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
exec sh "$root/tools/with-node.sh" "$root/src/bin/first-run.ts" "$@"
