/**
 * Files that are kept: what is damaged, foreign or too much is not.
 */
import assert from 'node:assert/strict'
import {
  chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { KeptFiles, type KeptFilesOptions } from './kept-files.ts'

interface Opened {
  readonly folder: string
  readonly said: string[]
  open(more?: Partial<KeptFilesOptions>): KeptFiles
}

function folderFor(t: TestContext): Opened {
  const above = mkdtempSync(join(tmpdir(), 'xenolith-kept-'))
  t.after(() => rmSync(above, { recursive: true }))
  const folder = join(above, 'kept')
  const said: string[] = []
  const say = (line: string): void => void said.push(line)
  const log = { info: say, warn: say, error: say }
  return {
    folder, said,
    open: (more = {}) =>
      new KeptFiles({ folder, version: 'one', limitBytes: 1 << 20, log, ...more }),
  }
}

function content(seed: number, bytes = 100): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => i * seed & 255)
}

test('what one keeps another finds, and one that was kept twice is there once', (t) => {
  const { open, folder } = folderFor(t)
  const [one, other] = [open(), open()]
  const names = [one.keep(content(1)), other.keep(content(2)), one.keep(content(2))]
  assert.equal(names[1], names[2])
  assert.deepEqual(new Set([...other.all()].map(([name]) => name)), new Set(names))
  assert.deepEqual(Uint8Array.from(other.read(names[0]!)!), content(1))
  assert.equal(readdirSync(folder).length, 2)
})

test('damaged, truncated and foreign files are ignored, and said in one line', (t) => {
  const { open, folder, said } = folderFor(t)
  const files = open()
  const [damaged, truncated, empty, whole] = [1, 2, 3, 4].map((seed) => files.keep(content(seed))!)
  const pathOf = (name: string): string => join(folder, `${name}.kept`)
  const bytes = readFileSync(pathOf(damaged!))
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(pathOf(damaged!), bytes)
  truncateSync(pathOf(truncated!), 90)
  truncateSync(pathOf(empty!), 0)
  const other = open({ version: 'two' })
  const foreign = other.keep(content(5))!
  const posing = `${whole!.split('-')[0]}-${foreign.split('-')[1]}`
  copyFileSync(pathOf(foreign), pathOf(posing))
  assert.deepEqual([...files.all()].map(([name]) => name), [whole])
  assert.deepEqual(said, [
    `4 files of compiled code in ${folder} are damaged or of another version, and ignored`,
  ])
  for (const name of [damaged!, truncated!, empty!, posing, foreign, 'no such name']) {
    assert.equal(files.read(name), undefined)
  }
})

test('the least recently used go when there is too much', (t) => {
  const { open, folder } = folderFor(t)
  const files = open({ limitBytes: 4000 })
  const names: string[] = []
  for (let seed = 1; seed <= 12; seed++) {
    const name = files.keep(content(seed, 500))!
    names.push(name)
    utimesSync(join(folder, `${name}.kept`), seed, seed)
    if (seed === 4) assert.ok(files.read(names[0]!), 'the first is used again')
  }
  const left = readdirSync(folder)
  assert.ok(left.length <= 6, `${left.length} are left`)
  assert.ok(left.includes(`${names[0]}.kept`))
  assert.equal(left.includes(`${names[1]}.kept`), false)
  assert.ok(left.includes(`${names[11]}.kept`))
})

test('a folder that others can write to is not used', (t) => {
  const { open, folder } = folderFor(t)
  open()
  chmodSync(folder, 0o777)
  assert.throws(() => open(), /is open to other users/)
})

test('that nothing can be written is said, and nothing else', (t) => {
  const { open, folder, said } = folderFor(t)
  const files = open()
  rmSync(folder, { recursive: true })
  assert.equal(files.keep(content(1)), undefined)
  assert.equal(said.length, 1)
})
