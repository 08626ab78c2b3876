/**
 * What is left of somebody with a guard who is killed: nothing.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'

test('the host process of one who is killed ends, and its folder goes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-guard-'))
  const host = spawn('sleep', ['60'])
  const ended = once(host, 'exit')
  const log = `2026-11-29T12:00:00.000Z ready: 512 MB, cores: 2, pid ${host.pid}\n`
  writeFileSync(join(folder, 'host.log'), log)
  const user = spawn(process.execPath, ['--input-type=module', '--eval', `
    import { guardHost } from '${new URL('host-guard.ts', import.meta.url)}'
    guardHost('${folder}', '${folder}')
    console.log('guarded')
    setInterval(() => {}, 1000)
  `], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(user.stdout, 'data')
  await delay(50)
  assert.equal(host.exitCode, null)
  user.kill('SIGKILL')
  assert.deepEqual(await ended, [null, 'SIGKILL'])
  while (existsSync(folder)) await delay(10)
})
