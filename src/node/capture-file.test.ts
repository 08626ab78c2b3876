/**
 * Files of captured frames.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openCapture } from './capture-file.ts'

test('what is appended is in the file; what would take too much memory is left out', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-capture-'))
  try {
    const path = join(folder, 'frames')
    const file = openCapture(path)
    file.append(Buffer.from('first'))
    file.append(Buffer.alloc(5 * 1024 * 1024))
    file.append(Buffer.from(' second'))
    file.close()
    file.append(Buffer.from('late'))
    for (let i = 0; i < 1000 && readFileSync(path).length < 12; i++) await delay(5)
    assert.equal(readFileSync(path, 'utf8'), 'first second')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a file that cannot be made is named with the reason', () => {
  assert.throws(() => openCapture('/nowhere/frames'), /^Error: \/nowhere\/frames: No such file/)
})
