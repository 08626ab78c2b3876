/**
 * A second host process that boots the same kernel: it enters what the first one compiled, and its
 * guest does the same; so does that of a third, which finds it damaged.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const LONG_AGO = 1

describe('compiled code that is kept', { skip: missing }, () => {
  const cache = mkdtempSync(join(tmpdir(), 'xenolith-kept-'))
  const folder = join(cache, 'code', 'regions')
  after(() => rmSync(cache, { recursive: true }))

  const files = (): string[] => readdirSync(folder).map((name) => join(folder, name))

  /** Boots in a host process of its own; what a command says there, and what the host does. */
  async function boot(): Promise<{ said: string, log: string }> {
    const host = new TestHost({ environment: { XENOLITH_CACHE: cache, XENOLITH_JIT: '' } })
    try {
      const config = host.config('g', { ...settings, memory: 256 })
      const shell = await Shell.take(host.start('create', '-c', config))
      return { said: await shell.output('find /etc | sort | sha256sum'), log: host.log }
    } finally {
      await host.close()
    }
  }

  let first = ''
  let count = 0

  test('is written by the first host process', async () => {
    first = (await boot()).said
    count = files().length
    assert.ok(count > 10, `${count} files`)
  })

  test('is entered by the second, which compiles little', async () => {
    for (const file of files()) utimesSync(file, LONG_AGO, LONG_AGO)
    const { said, log } = await boot()
    assert.equal(said, first)
    assert.doesNotMatch(log, /ignored/)
    const used = files().filter((file) => statSync(file).mtimeMs > LONG_AGO * 1000)
    const added = files().length - count
    assert.ok(used.length - added > count / 2, `${used.length - added} of ${count} were used`)
    assert.ok(added < count / 2, `${added} were added`)
  })

  test('is ignored when it is damaged, with one line in the log', async () => {
    for (const file of files()) truncateSync(file, statSync(file).size - 1)
    const { said, log } = await boot()
    assert.equal(said, first)
    assert.equal(log.match(/damaged or of another version, and ignored/g)?.length, 1)
  })
})
