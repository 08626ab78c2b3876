#!/bin/sh
# `npm test`: brings what is missing (the pinned Node, packages, Debian's kernels for the guests that
# tests boot), then runs every test. Arguments go to Node's test runner, whose summary comes last.
set -e
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
run="sh $root/tools/with-node.sh"
kernels=
for kind in '' --full; do
  # Without apt or network the tests that boot these kernels are skipped, and say so.
  files=$($run src/bin/first-run.ts --fetch-only $kind) || continue
  kernel=$(printf '%s\n' "$files" | sed -n 's/^ *"kernel": "\(.*\)",*$/\1/p')
  kernels=${kernels:+$kernels:}$kernel
done
XENOLITH_TEST_KERNELS=${XENOLITH_TEST_KERNELS:-$kernels}
export XENOLITH_TEST_KERNELS
# Tests of guests wait for most of their time: two files at once at least.
files_at_once=$($run --print 'Math.max(2, require("node:os").availableParallelism() - 1)')
exec $run --test --test-concurrency="$files_at_once" "$@" \
  'src/**/*.test.ts' 'test/**/*.test.ts' 'fuzz/**/*.test.ts' 'tools/**/*.test.ts' \
  'bench/**/*.test.ts'
