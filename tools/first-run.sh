#!/bin/sh
# `npm start`: brings the pinned Node when it is missing, then boots the first guest.
set -e
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node=$root/node_modules/.bin/node
if [ ! -x "$node" ]; then
  echo "Installing the pinned Node (npm ci) ..." >&2
  (cd "$root" && npm ci --omit=dev --no-audit --no-fund >/dev/null)
fi
if [ ! -x "$node" ]; then
  echo "npm start: no Node for this machine among the packages (there are linux x64 and arm64)." >&2
  exit 1
fi
exec "$node" "$root/src/bin/first-run.ts" "$@"
