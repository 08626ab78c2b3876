#!/bin/sh
# Runs a TypeScript file with the project's own pinned Node, which `npm install` brings as a package;
# the machine's `node` only has to be able to run npm. Installs the packages first when they are missing.
set -e
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
if [ ! -x "$root/node_modules/.bin/node" ] || [ ! -d "$root/node_modules/typescript" ]; then
  echo "Installing the pinned Node and development packages (npm ci) ..." >&2
  (cd "$root" && npm ci --no-audit --no-fund >/dev/null)
fi
exec "$root/node_modules/.bin/node" "$@"
