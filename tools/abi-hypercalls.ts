/**
 * Writes docs/reference/hypercalls.md: which of Xen's hypercalls and sub-operations are answered.
 *
 * `abi-hypercalls.ts` writes the page from the hypercall table; a test sees to it that the
 * committed page is what the table says.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import * as xen from '../src/abi/xen/xen.ts'
import { Dispatcher } from '../src/hypervisor/hypercall/dispatch.ts'
import type { Hypercall } from '../src/hypervisor/hypercall/operation.ts'
import { hypercalls } from '../src/hypervisor/hypercall/table.ts'

const PAGE = 'docs/reference/hypercalls.md'
const PREFIX = '__HYPERVISOR_'

const HEAD = `# Hypercalls

Generated from \`src/hypervisor/hypercall/table.ts\` by \`tools/abi-hypercalls.ts\`; do not edit.

Numbers are those of \`xen/include/public/xen.h\`. The columns say who may call: 64- and 32-bit PV,
64- and 32-bit HVM or PVH. A hypercall or sub-operation that is not listed answers -ENOSYS.

| number | hypercall | pv64 | pv32 | hvm64 | hvm32 | sub-operations |
|---:|---|:-:|:-:|:-:|:-:|---|
`

function mark(yes: boolean): string {
  return yes ? '✓' : ''
}

function rowOf(hypercall: Hypercall): string {
  const { number, name, columns, subops } = hypercall
  const list = subops.toSorted((a, b) => a.number - b.number)
    .map((subop) => `${subop.name} ${subop.number}`).join(', ')
  return `| ${number} | ${name} | ${mark(columns.pv64)} | ${mark(columns.pv32)} `
    + `| ${mark(columns.hvm64)} | ${mark(columns.hvm32)} | ${list} |`
}

/** The page as the table now says. */
export function pageText(): string {
  const all = new Dispatcher(hypercalls).hypercalls
  const known = new Set(all.map((hypercall) => hypercall.number))
  const missing = Object.entries(xen)
    .filter(([name, value]) => name.startsWith(PREFIX) && !known.has(value as number))
    .map(([name, value]) => `${name.slice(PREFIX.length)} ${String(value)}`)
  return `${HEAD}${all.map(rowOf).join('\n')}\n\n`
    + `Not answered (-ENOSYS): ${missing.join(', ')}.\n`
}

export function pageIsFresh(): boolean {
  return readFileSync(PAGE, 'utf8') === pageText()
}

if (import.meta.main) writeFileSync(PAGE, pageText())
