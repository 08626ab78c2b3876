/**
 * Checks our description of Xen's ABI against Xen's own headers.
 *
 * `abi.ts` writes static assertions from the layouts and has gcc read them beside the headers of
 * Debian's libxen-dev, natively and, for structs that 32-bit callers use, with -m32. The headers
 * are looked for in $XEN_INCLUDE and /usr/include, else fetched with apt into a cache folder.
 * `abi.ts --golden` compares the list of assertions with docs/reference/abi.golden.txt, without
 * gcc; UPDATE_EXPECT=1 writes that list.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync }
  from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Abi } from '../src/base/layout/scalar.ts'
import type { Layout } from '../src/base/layout/struct.ts'
import { type HeaderRow, headers } from './abi-table.ts'

const GOLDEN = 'docs/reference/abi.golden.txt'

interface Fact {
  /** As in the golden list. */
  readonly line: string
  /** The assertion in C; undefined for what the pinned headers lack. */
  readonly c: string | undefined
}

type AnyLayout = Layout<Record<string, never>>

function isLayout(value: unknown): value is AnyLayout {
  return typeof value === 'object' && value !== null && 'members' in value && 'offsets' in value
}

/** The facts that a module states, under one ABI. */
function factsOf(row: HeaderRow, abi: Abi): Fact[] {
  const facts: Fact[] = []
  const own = new Set(row.own ?? [])
  for (const [name, value] of Object.entries(row.module)) {
    if (isLayout(value) && value.name.startsWith('struct ') && !own.has(value.name)) {
      facts.push(...layoutFacts(value.for(abi)))
    } else if (typeof value === 'number' && /^_*[A-Z]/.test(name) && !own.has(name)) {
      if (abi === 'x86_64') facts.push(constantFact(`${row.prefix ?? ''}${name}`, value))
    }
  }
  return facts
}

function constantFact(name: string, value: number): Fact {
  return { line: `${name} ${value}`, c: `_Static_assert(${name} == ${value}, "${name}");` }
}

function layoutFacts(layout: AnyLayout): Fact[] {
  const { name } = layout
  const bits = layout.abi === 'x86_32' ? ' (32)' : ''
  const since = layout.options.since
  const fact = (line: string, c: string): Fact => ({
    line: since ? `${line} since ${since}` : line,
    c: since ? undefined : c,
  })
  return [
    fact(`${name}${bits} ${layout.size}`,
      `_Static_assert(sizeof(${name}) == ${layout.size}, "sizeof ${name}");`),
    ...layout.members.map((member) => fact(
      `${name}.${member.name}${bits} ${member.offset} ${member.size}`,
      `_Static_assert(offsetof(${name}, ${member.name}) == ${member.offset} && `
        + `sizeof(((${name} *)0)->${member.name}) == ${member.size}, `
        + `"${name}.${member.name}");`)),
  ]
}

/** A C file of assertions, with what comes before them. */
function cFile(abi: Abi): string {
  const rows = headers.filter((row) =>
    abi === 'x86_32' ? row.compat : row.compat !== 'only')
  const lines = ['#include <stddef.h>', '#include <stdint.h>', '#include <stdbool.h>',
    'typedef uint64_t size64;']
  for (const row of rows) lines.push(`#include <${row.header}>`)
  for (const row of rows) {
    for (const { c } of factsOf(row, abi)) if (c) lines.push(c)
  }
  return `${lines.join('\n')}\n`
}

/** The folder with xen/xen.h in it. */
function findHeaders(): string {
  for (const folder of [process.env['XEN_INCLUDE'], '/usr/include', cacheInclude()]) {
    if (folder && existsSync(join(folder, 'xen/xen.h'))) return folder
  }
  fetchHeaders()
  return cacheInclude()
}

function cacheFolder(): string {
  return join(process.env['XENOLITH_CACHE']
    ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'xenolith'), 'libxen-dev')
}

function cacheInclude(): string {
  return join(cacheFolder(), 'usr/include')
}

function fetchHeaders(): void {
  const folder = cacheFolder()
  mkdirSync(folder, { recursive: true })
  const apt = spawnSync('apt-get', ['download', 'libxen-dev'], { cwd: folder, stdio: 'inherit' })
  const file = readdirSync(folder).find((name) => name.endsWith('.deb'))
  if (apt.status !== 0 || !file) throw new Error('libxen-dev could not be fetched with apt-get')
  spawnSync('dpkg', ['-x', file, '.'], { cwd: folder, stdio: 'inherit' })
}

function compile(include: string, abi: Abi): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-abi-'))
  const file = join(folder, 'abi.c')
  writeFileSync(file, cFile(abi))
  const { status } = spawnSync('gcc', [
    '-std=gnu11', '-ffreestanding', '-fsyntax-only', '-D__XEN_TOOLS__', '-w',
    ...(abi === 'x86_32' ? ['-m32'] : []), '-I', include, file,
  ], { stdio: 'inherit' })
  rmSync(folder, { recursive: true })
  return status === 0
}

/** The golden list as the layouts now say. */
export function goldenText(): string {
  const lines = headers.flatMap((row) => [
    `# ${row.header}`,
    ...(row.compat === 'only' ? [] : factsOf(row, 'x86_64').map((fact) => fact.line)),
    ...(row.compat ? factsOf(row, 'x86_32').map((fact) => fact.line) : []),
  ])
  return `${lines.join('\n')}\n`
}

/** Whether the committed list is what the layouts say. */
export function goldenIsFresh(): boolean {
  return existsSync(GOLDEN) && readFileSync(GOLDEN, 'utf8') === goldenText()
}

function main(): number {
  if (process.env['UPDATE_EXPECT']) writeFileSync(GOLDEN, goldenText())
  if (!goldenIsFresh()) {
    console.error(`${GOLDEN} is not what the layouts say; UPDATE_EXPECT=1 writes it anew`)
    return 1
  }
  if (process.argv.includes('--golden')) return 0
  const include = findHeaders()
  const good = (['x86_64', 'x86_32'] as const).map((abi) => compile(include, abi))
  return good.every(Boolean) ? 0 : 1
}

if (import.meta.main) process.exitCode = main()
