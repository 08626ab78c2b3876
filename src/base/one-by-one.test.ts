/** Operations of the host in the order in which they were asked for. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { HostFile, HostFiles } from './host-file.ts'
import { OneByOne } from './one-by-one.ts'

test('what was asked for first ends first, however long it takes', async () => {
  const order = new OneByOne()
  const ended: string[] = []
  const slow = order.do(async () => { await delay(5) }).then(() => ended.push('slow'))
  const fast = order.do(async () => {}).then(() => ended.push('fast'))
  assert.equal(order.isIdle, false)
  await Promise.all([slow, fast])
  assert.deepEqual(ended, ['slow', 'fast'])
  assert.equal(order.isIdle, true)
})

test('what fails is told to who asked for it, and to nobody else', async () => {
  const order = new OneByOne()
  const failed = order.do(() => Promise.reject(new Error('no')))
  const after = order.do(async () => 7)
  await assert.rejects(failed, /no/)
  assert.equal(await after, 7)
  assert.equal(order.isIdle, true)
})

test('operations on files are done so, and say what the file says', async () => {
  const said: string[] = []
  const say = (what: string) => async (): Promise<void> => {
    await delay(what === 'flush' ? 5 : 0)
    said.push(what)
  }
  const file: HostFile = {
    path: 'a', writable: true, isDevice: false, sizeBytes: 10,
    read: async () => { await say('read')(); return 3 },
    readNow: () => 3, writeNow: () => true,
    write: say('write'), writeInOrder: say('write in order'), flush: say('flush'),
    truncate: say('truncate'), close: say('close'),
    punchHole: async () => { await say('punch')(); return true },
  }
  const files: HostFiles = {
    open: async () => file, create: async () => file, resolve: (path, named) => path + named,
    relative: (path, target) => target + path,
  }
  const ordered = new OneByOne().files(files)
  const opened = await ordered.open('a', 'write')
  assert.equal(opened.sizeBytes, 10)
  assert.equal(ordered.resolve('a', 'b'), 'ab')
  assert.equal(ordered.relative('a', 'b'), 'ba')
  const nothing = new Uint8Array(0)
  assert.equal(opened.readNow(0, []), undefined)
  assert.equal(opened.writeNow(0, []), false)
  const all = [opened.flush(), opened.write(0, nothing), opened.writeInOrder([]),
    opened.truncate(1), opened.punchHole(0, 1), opened.read(0, nothing), opened.close()]
  assert.deepEqual(await Promise.all(all),
    [undefined, undefined, undefined, undefined, true, 3, undefined])
  assert.deepEqual(said,
    ['flush', 'write', 'write in order', 'truncate', 'punch', 'read', 'close'])
})
