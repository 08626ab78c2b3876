/**
 * Every fuzz target of this folder, briefly. A longer run is `node fuzz/NAME.ts RUNS [SEED]`.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const RUNS = '60'

for (const file of globSync('*.ts', { cwd: import.meta.dirname }).sort()) {
  if (file.endsWith('.test.ts')) continue
  test(`${file}: nothing that comes from outside breaks it`, () => {
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath, [join(import.meta.dirname, file), RUNS],
      { encoding: 'utf8', timeout: 120_000 })
    assert.equal(signal ?? status, 0, `${stdout}${stderr}`)
  })
}
