/**
 * Debian's own xenstore programs against our socket: what they print and how they end is what they
 * print and how they end in Dom0 of real Xen with Debian's first choice, oxenstored
 * (tools.golden.txt), and Xen's own functional test passes.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { StoreServer, testXenstore, toolsMissing } from './store-server.ts'

const skip = toolsMissing()
const here = import.meta.dirname

async function withServer(body: (server: StoreServer) => Promise<void>): Promise<void> {
  const server = await StoreServer.start()
  try {
    await body(server)
  } finally {
    server.close()
  }
}

test('xenstore-ls, -read, -write and the others print what they print on Xen', { skip }, () =>
  withServer(async (server) => {
    const { output } = await server.run('sh', [join(here, 'tools.sh')])
    assert.equal(output, readFileSync(join(here, 'tools.golden.txt'), 'utf8'))
  }))

test('the socket is found through XENSTORED_PATH or in XENSTORED_RUNDIR', { skip }, () =>
  withServer(async (server) => {
    server.client.write('/a', 'value')
    const byFolder = { XENSTORED_PATH: undefined, XENSTORED_RUNDIR: server.folder }
    for (const how of [{}, byFolder]) {
      assert.deepEqual(await server.run('xenstore-read', ['/a'], how),
        { status: 0, output: 'value\n' })
    }
  }))

test('fifty programs at once each get their own answer', { skip }, () =>
  withServer(async (server) => {
    const numbers = Array.from({ length: 50 }, (_, i) => `${i}`)
    const written = await Promise.all(
      numbers.map((n) => server.run('xenstore-write', [`/many/${n}`, n])))
    assert.ok(written.every(({ status }) => status === 0))
    const read = await Promise.all(numbers.map((n) => server.run('xenstore-read', [`/many/${n}`])))
    assert.deepEqual(read.map(({ output }) => output.trim()), numbers)
  }))

test("Xen's test-xenstore passes", { skip: skip || (await testXenstore()).missing }, () =>
  withServer(async (server) => {
    const { program } = await testXenstore()
    const { status, output } = await server.run(program, ['-i', '20'])
    assert.equal(status, 0, output)
    assert.equal(output.trim().split('\n').length, 12)
    assert.doesNotMatch(output, /failed/)
    assert.deepEqual(server.client.directory('/local/domain/0'), [])
  }))
