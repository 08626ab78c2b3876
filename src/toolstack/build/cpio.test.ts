/**
 * Archives as Linux's unpacker reads them, and the contents of the first guest's.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { writeCpio } from './cpio.ts'
import { buildInitramfs } from './initramfs.ts'

interface Read {
  readonly path: string
  readonly mode: number
  readonly major: number
  readonly minor: number
  readonly content: Uint8Array
}

function readCpio(bytes: Uint8Array): Read[] {
  const entries: Read[] = []
  for (let at = 0; ;) {
    const text = new TextDecoder().decode(bytes.subarray(at, at + 110))
    assert.equal(text.slice(0, 6), '070701')
    const field = (i: number) => Number.parseInt(text.slice(6 + i * 8, 14 + i * 8), 16)
    const nameEnd = at + 110 + field(11)
    const path = new TextDecoder().decode(bytes.subarray(at + 110, nameEnd - 1))
    if (path === 'TRAILER!!!') return entries
    const start = Math.ceil(nameEnd / 4) * 4
    const content = bytes.subarray(start, start + field(6))
    entries.push({ path, mode: field(1), major: field(9), minor: field(10), content })
    at = Math.ceil((start + field(6)) / 4) * 4
  }
}

test('files, folders, links and devices are read back as they went in', () => {
  const content = Uint8Array.of(1, 2, 3, 4, 5)
  const archive = writeCpio([
    { kind: 'directory', path: 'a' },
    { kind: 'file', path: 'a/b', mode: 0o755, content },
    { kind: 'link', path: 'c', target: 'a/b' },
    { kind: 'device', path: 'console', major: 5, minor: 1 },
  ])
  assert.equal(archive.length % 512, 0)
  const entries = readCpio(archive)
  assert.deepEqual(entries.map((e) => [e.path, e.mode.toString(8)]), [
    ['a', '40755'], ['a/b', '100755'], ['c', '120777'], ['console', '20600'],
  ])
  assert.deepEqual(entries[1]!.content, content)
  assert.equal(new TextDecoder().decode(entries[2]!.content), 'a/b')
  assert.deepEqual([entries[3]!.major, entries[3]!.minor], [5, 1])
})

test('the same contents make the same archive', () => {
  const busybox = Uint8Array.of(1, 2, 3)
  assert.deepEqual(buildInitramfs(busybox), buildInitramfs(busybox))
})

test('the initramfs has an executable init and busybox under two names', () => {
  const entries = readCpio(buildInitramfs(Uint8Array.of(9)))
  const init = entries.find((entry) => entry.path === 'init')
  assert.equal(init?.mode, 0o100755)
  const script = new TextDecoder().decode(init.content)
  assert.match(script, /^#!\/bin\/busybox sh\n/)
  assert(entries.some((entry) => entry.path === 'bin/busybox' && entry.mode === 0o100755))
  assert(entries.some((entry) => entry.path === 'bin/sh'))
  const check = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' })
  assert.equal(check.stderr, '')
})
