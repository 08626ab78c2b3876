/**
 * The folder that guests fetch from.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readBelow } from './boot-folder.ts'

test('files below the folder are read, and nothing else', async () => {
  const top = mkdtempSync(join(tmpdir(), 'xenolith-boot-folder-'))
  try {
    const folder = join(top, 'boot')
    mkdirSync(join(folder, 'a'), { recursive: true })
    writeFileSync(join(folder, 'a', 'kernel'), 'k')
    writeFileSync(join(top, 'secret'), 's')
    symlinkSync(join(top, 'secret'), join(folder, 'link'))
    const read = async (name: string) => (await readBelow(folder, name))?.toString()
    for (const name of ['a/kernel', '/a/kernel', '../a/kernel']) assert.equal(await read(name), 'k')
    for (const name of ['../secret', 'link', 'a', 'none', '', 'a/kernel\0', '/etc/passwd']) {
      assert.equal(await read(name), undefined, name)
    }
  } finally {
    rmSync(top, { recursive: true })
  }
})
