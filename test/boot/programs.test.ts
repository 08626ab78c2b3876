/**
 * Programs in Debian's cloud kernel. It and the C library find x86-64-v3, a program compiled for
 * that computes what it computes on a Zen 4, and vector registers survive other processes and
 * signals. A program for 32 bits computes what it computes for 64. gcc and a static C library are
 * needed.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { compile, withFiles } from './c-program.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const LOADER = '/lib64/ld-linux-x86-64.so.2'
/** What the program printed on a Zen 4. */
const EXPECTED = `v3 1
integers e8c1c7fad54bfeb3
floats f9359693c42cd460
strings e019f3fa296ef3d1
failed 0
`

/** What the one for 32 and 64 bits printed there. */
const EXPECTED_OF_BOTH = `integers 4106e839ce326a82
calls 000000000000b520
strings f5f5240e1aee1c0e
floats 001e1c4d2afe1939
segment 0002d439e8a86c10
`
const ALONE = ['-nostdlib', '-ffreestanding', '-fno-stack-protector', '-fno-pic', '-no-pie']

const { settings, missing } = await debian('cloud')
const program = missing ? undefined
  : compile('avx.c', '-mavx2', '-mfma', '-mf16c', '-ffp-contract=off')
const program32 = missing ? undefined
  : compile('code32.c', ...ALONE, '-m32', '-msse2', '-mfpmath=sse')
const program64 = missing ? undefined : compile('code32.c', ...ALONE)
const skip = missing
  || (program && program32 && program64 ? false : 'gcc cannot make static programs')

describe('programs in a guest', { skip }, () => {
  const host = new TestHost()
  let shell: Shell

  before(async () => {
    const initrd = readFileSync(String(settings['ramdisk']))
    const files = {
      'bin/avx': program!, 'bin/code32': program32!, 'bin/code64': program64!,
      ...existsSync(LOADER) ? { 'bin/loader': readFileSync(LOADER) } : {},
    }
    const ramdisk = host.file('initrd', withFiles(initrd, files))
    const config = host.config('v', { ...settings, ramdisk, memory: 192 })
    shell = await Shell.take(host.start('create', '-c', config))
  })
  after(() => host.close())

  test('the kernel saves x87, SSE and AVX state of 832 bytes', async () => {
    const lines = await shell.output('dmesg | grep x86/fpu')
    assert.match(lines, /Supporting XSAVE feature 0x004: 'AVX registers'/)
    assert.match(lines, /context size is 832 bytes/)
  })

  test('the dynamic loader searches x86-64-v3', async (t) => {
    if (!existsSync(LOADER)) return t.skip('no dynamic loader to ask')
    assert.match(await shell.output('/bin/loader --help'), /x86-64-v3 \(supported, searched\)/)
  })

  test('a program compiled for it computes as on the processor', async () => {
    assert.equal(await shell.output('/bin/avx'), EXPECTED)
  })

  test('a program for 32 bits computes what it does for 64', async () => {
    for (const name of ['code64', 'code32']) {
      assert.equal(await shell.output(`/bin/${name}`), EXPECTED_OF_BOTH, name)
    }
  })
})
