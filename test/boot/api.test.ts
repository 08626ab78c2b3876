/**
 * The programming interface with Debian's kernel: its example, as the guide shows it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { debian } from './debian.ts'

const { settings, missing } = await debian('cloud')
const program = join(import.meta.dirname, '..', 'api', 'debian.ts')

test('the example boots Debian\'s kernel, runs commands and ends', { skip: missing }, () => {
  const done = spawnSync(process.execPath,
    [program, `${settings['kernel']}`, `${settings['ramdisk']}`],
    { encoding: 'utf8', timeout: 400_000 })
  assert.equal(done.stderr, '')
  const [runs, grep, disk, ...rest] = done.stdout.trim().split('\n')
  assert.deepEqual([runs, grep, disk],
    ['runs on xen', 'grep found nothing: 1', 'on the disk: from the host'])
  assert.ok(rest.includes('greeting: hello'))
  assert.ok(rest.some((line) => line.endsWith('/data/greeting')))
  assert.equal(rest.at(-1), 'ended: shutdown for reason 0')
  assert.equal(done.status, 0)
})
