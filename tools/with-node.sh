#!/bin/sh
# Runs a TypeScript file with the project's own pinned Node, which npm brings as a package; the
# machine's `node` only has to be able to run npm. Installs the packages first when they are missing.
set -e
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node=$root/node_modules/.bin/node
if [ ! -x "$node" ] || [ ! -d "$root/node_modules/typescript" ]; then
  echo "Installing the pinned Node and the development packages (npm ci) ..." >&2
  (cd "$root" && npm ci --no-audit --no-fund >/dev/null)
fi
if [ ! -x "$node" ]; then
  echo "There is no Node for this machine among the packages (there are linux x64 and arm64)." >&2
  exit 1
fi
# What Node compiles of the sources is kept for the next start, where only this user may write.
if [ "${XENOLITH_CODE_CACHE-}" != off ] && [ -z "${NODE_COMPILE_CACHE-}" ]; then
  code=${XENOLITH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenolith}/code
  [ -d "$code" ] || (umask 077 && mkdir -p "$code") 2>/dev/null || true
  if [ -O "$code" ]; then
    export NODE_COMPILE_CACHE="$code/node"
  fi
fi
exec "$node" --import "$root/src/node/relative-imports.ts" "$@"
