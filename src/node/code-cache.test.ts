/**
 * The folder of kept code.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { codeCachePath, compileCacheOf } from './code-cache.ts'

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-code-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

test('it lies in the cache folder, unless nothing shall be kept', () => {
  assert.equal(codeCachePath({ XENOLITH_CACHE: '/x' }), '/x/code')
  assert.equal(codeCachePath({ XDG_CACHE_HOME: '/y' }), '/y/xenolith/code')
  assert.equal(codeCachePath({ XENOLITH_CACHE: '/x', XENOLITH_CODE_CACHE: 'off' }), undefined)
  assert.deepEqual(compileCacheOf({ XENOLITH_CODE_CACHE: 'off' }), {})
})

test('it is closed to others, or not used', (t) => {
  const folder = folderFor(t)
  const environment = { XENOLITH_CACHE: folder }
  const code = join(folder, 'code')
  assert.deepEqual(compileCacheOf(environment), { NODE_COMPILE_CACHE: join(code, 'node') })
  assert.equal(statSync(code).mode & 0o777, 0o700)
  chmodSync(code, 0o770)
  assert.deepEqual(compileCacheOf(environment), {})
})

test('what the scripts start keeps its code in the same place', (t) => {
  const folder = folderFor(t)
  const script = fileURLToPath(new URL('../../tools/with-node.sh', import.meta.url))
  const said = (environment: Record<string, string>): string =>
    execFileSync('sh', [script, '-p', 'process.env.NODE_COMPILE_CACHE'], {
      encoding: 'utf8', env: { PATH: process.env['PATH'], XENOLITH_CACHE: folder, ...environment },
    }).trim()
  assert.equal(said({ XENOLITH_CODE_CACHE: 'off' }), 'undefined')
  assert.equal(said({}), compileCacheOf({ XENOLITH_CACHE: folder }).NODE_COMPILE_CACHE)
})
