/**
 * The regions that are compiled while Debian's cloud kernel boots and works: their accesses to
 * memory stay where they may.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { verifyModule } from '../jit/verifier.ts'
import { readModule } from '../jit/wasm-reader.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')

describe('compiled regions of a booting kernel', { skip: missing }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-regions-'))
  const host = new TestHost({
    environment: {
      NODE_OPTIONS: `--import ${join(import.meta.dirname, 'regions-preload.ts')}`,
      XENOLITH_TEST_REGIONS: folder, XENOLITH_JIT: '',
    },
  })
  after(async () => {
    await host.close()
    rmSync(folder, { recursive: true })
  })

  test('access no memory that was not looked up', async (t) => {
    const console = host.start('create', '-c', host.config('g', { ...settings, memory: 256 }))
    const shell = await Shell.take(console)
    await shell.output('find / -xdev | sort | sha256sum')
    const files = readdirSync(folder)
    let regions = 0
    for (const file of files) {
      const module = readModule(readFileSync(join(folder, file)))
      assert.deepEqual(verifyModule(module), [], file)
      regions += module.functions.length
    }
    assert.ok(regions > 0, 'something was compiled')
    t.diagnostic(`${regions} regions`)
  })
})
