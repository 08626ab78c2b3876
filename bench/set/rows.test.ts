/**
 * The table of rows against the program and the scripts, and the program's checksums on the host.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { firstLineOf } from '../lib/results.ts'
import { buildProgram } from './files.ts'
import { commandOf, rowGroups, rows } from './rows.ts'

test('there are many rows, of each group some, each of another name', () => {
  assert.ok(rows.length >= 30)
  assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length)
  for (const group of rowGroups) {
    assert.ok(rows.filter((row) => row.group === group).length >= 5, group)
  }
})

test('a row is a call of the program with rounds, or a script the shell understands', () => {
  for (const row of rows) {
    assert.equal(row.script === undefined, row.rounds !== undefined, row.name)
    if (row.script !== undefined) {
      assert.deepEqual(commandOf(row), ['sh', `${row.name}.sh`])
      assert.equal(spawnSync('sh', ['-n'], { input: row.script, encoding: 'utf8' }).stderr, '')
    } else {
      assert.deepEqual(commandOf(row), ['bench', row.name, String(row.rounds)])
    }
  }
})

const gcc = firstLineOf('gcc', '--version') !== undefined

describe('the program', { skip: !gcc && 'there is no gcc' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-rows-'))
  let program: string
  const run = (...words: string[]): string =>
    execFileSync(program, words, { encoding: 'utf8' }).trim()
  before(() => {
    program = buildProgram(folder)
  })
  after(() => rmSync(folder, { recursive: true }))

  const names = rows.flatMap(({ name, rounds }) => rounds === undefined ? [] : [name])

  test('has a function for each row that is not of the shell, and no other', () => {
    assert.deepEqual(run('list').split('\n').sort(), [...names].sort())
  })

  test('gives the same checksum for the same rounds, and another for more', () => {
    for (const name of names) {
      const checksum = run(name, '2')
      if (checksum === 'none') continue
      assert.match(checksum, /^[0-9a-f]{16}$/)
      assert.equal(run(name, '2'), checksum, name)
      assert.notEqual(run(name, '3'), checksum, name)
    }
  })

  test('refuses a row that there is not', () => {
    assert.equal(spawnSync(program, ['nothing', '1']).status, 1)
  })

  test('says what CPU time a command took, and what a process has taken', () => {
    const { stdout, stderr } = spawnSync(program, ['time', program, 'mix', '3'],
      { encoding: 'utf8' })
    assert.equal(stdout.trim(), run('mix', '3'))
    assert.ok(Number(stderr) > 0)
    const earlier = Number(run('cpu', String(process.pid)))
    assert.ok(earlier > 0)
    assert.ok(Number(run('cpu', String(process.pid))) >= earlier)
  })
})
