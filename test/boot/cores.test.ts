/**
 * Two processors of a guest, on one core in turns and on two at once: order of memory, locked
 * instructions, code that the other writes, reading beside updates, and waking one another
 * (cores.c). gcc and a static C library are needed.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { compile, withFiles } from './c-program.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const ROUNDS = Number(process.env['CORES_ROUNDS'] ?? 1000)
const SECONDS = 600

const { settings, missing } = await debian('cloud')
const program = missing ? undefined : compile('cores.c', '-pthread')
const skip = missing || (program ? false : 'gcc cannot make a static program')

for (const cores of [1, 2]) {
  describe(`two VCPUs on ${cores} cores`, { skip }, () => {
    const host = new TestHost({ environment: { XENOLITH_CORES: `${cores}` } })
    after(() => host.close())

    test('keep the promises that processors make', async (t) => {
      const initrd = readFileSync(String(settings['ramdisk']))
      const ramdisk = host.file('initrd', withFiles(initrd, { 'bin/cores': program! }))
      const config = host.config('g', { ...settings, ramdisk, memory: 192, vcpus: 2 })
      const shell = await Shell.take(host.start('create', '-c', config))
      const said = await shell.output(`/bin/cores ${ROUNDS}`, SECONDS)
      const lines = said.trim().split('\n')
      for (const line of lines) t.diagnostic(line)
      assert.equal(lines.length, 10)
      assert.deepEqual(lines.filter((line) => !/ [1-9]\d* 0$/.test(line)), [])
      assert.doesNotMatch(await shell.output('dmesg'), /BUG:|detected stall|lockup|segfault/)
    })
  })
}
