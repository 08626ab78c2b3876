/**
 * A guest whose code is a translator's bad weather: hot for a moment in ever other pages, then in
 * ever the same page, and of 64 and 32 bits in turns. It computes what the processor computes, and
 * compiled code stays within its bounds. gcc and a static C library are needed.
 *
 * By default few pages are used; with FRESH_PAGES=2000 memory without a bound would grow too far.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { memoryOf } from '../../bench/lib/process.ts'
import { compile, withFiles } from './c-program.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const PAGES = Number(process.env['FRESH_PAGES'] ?? 100)
const MACHINE_MB = 512
/** How often a page's loop runs; it is compiled sooner. */
const TIMES = 9000
const HEAT = 8000
/** What compiled code, decoded code and the compiler's heap may take. */
const GROWTH_MB = 100

const { settings, missing } = await debian('cloud')
const program = missing ? undefined : compile('fresh-code.c')
const skip = missing || (program ? false : 'gcc cannot make a static program')

describe('code that a translator has no use for', { skip }, () => {
  const host = new TestHost({
    memoryMb: MACHINE_MB, environment: { XENOLITH_JIT: `${HEAT}`, XENOLITH_CODE_CACHE: 'off' },
  })
  const native = host.file('fresh-code', program ?? '')
  let shell: Shell
  let atShell = 0

  /** MiB of the host process without the machine's memory. */
  function ownMemory(): number {
    const { rss, guest } = memoryOf(Number(/pid (\d+)/.exec(host.log)?.[1]), MACHINE_MB)
    return rss - guest
  }

  before(async () => {
    chmodSync(native, 0o755)
    const initrd = withFiles(readFileSync(String(settings['ramdisk'])), { 'bin/fresh': program! })
    const ramdisk = host.file('initrd', initrd)
    shell = await Shell.take(host.start('create', '-c',
      host.config('g', { ...settings, ramdisk, memory: 192 })))
    atShell = ownMemory()
  })
  after(() => host.close())

  for (const [how, pages] of [['pages', PAGES], ['again', PAGES], ['modes', 20]] as const) {
    test(`${how}: it computes what the processor does, in bounds`, async () => {
      const parameters = [how, `${pages}`, `${TIMES}`]
      const said = await shell.output(`/bin/fresh ${parameters.join(' ')}`)
      assert.equal(said, execFileSync(native, parameters, { encoding: 'utf8' }))
      const growth = ownMemory() - atShell
      assert.ok(growth < GROWTH_MB, `${growth} MiB more than at the shell`)
      assert.doesNotMatch(host.log, /compiler has failed/)
    })
  }
})
