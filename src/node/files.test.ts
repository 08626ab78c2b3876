/**
 * Files that end, and those that may not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readFileBytes, readPlainFile } from './files.ts'

test('a plain file is read; a device, a folder and nothing are refused in the system\'s words',
  async () => {
    const own = await readPlainFile(import.meta.filename)
    assert.deepEqual(own, await readFileBytes(import.meta.filename))
    await assert.rejects(readPlainFile('/dev/zero'), { message: 'Not a plain file' })
    await assert.rejects(readPlainFile('/'), { message: 'Is a directory' })
    await assert.rejects(readPlainFile('/none/at/all'), { message: 'No such file or directory' })
  })
