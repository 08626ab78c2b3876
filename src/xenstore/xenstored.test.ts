/**
 * The store by its protocol: a notation of requests and replies as text.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  XENSTORE_PAYLOAD_MAX, XS_CONTROL, XS_DIRECTORY, XS_DIRECTORY_PART, XS_ERROR, XS_GET_DOMAIN_PATH,
  XS_GET_PERMS, XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RELEASE,
  XS_RESET_WATCHES, XS_RM, XS_SET_PERMS, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH,
  XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import type { Connection } from './connection.ts'
import { bytesOf, type Message, textOf } from './wire.ts'
import { Xenstored } from './xenstored.ts'

const types: Record<string, number> = {
  control: XS_CONTROL, ls: XS_DIRECTORY, part: XS_DIRECTORY_PART, read: XS_READ,
  perms: XS_GET_PERMS, chmod: XS_SET_PERMS, watch: XS_WATCH, unwatch: XS_UNWATCH,
  begin: XS_TRANSACTION_START, end: XS_TRANSACTION_END, mkdir: XS_MKDIR, rm: XS_RM,
  introduce: XS_INTRODUCE, release: XS_RELEASE, home: XS_GET_DOMAIN_PATH, reset: XS_RESET_WATCHES,
  known: XS_IS_DOMAIN_INTRODUCED, restrict: 20, nonsense: 99,
}

/** A client whose requests and replies are strings; | stands for NUL. */
class Client {
  readonly events: string[] = []
  readonly #store: Xenstored
  readonly #connection: Connection
  #reply = ''

  constructor(store: Xenstored, domid = 0) {
    this.#store = store
    const deliver = (message: Message): void => this.#take(message)
    this.#connection = domid === 0
      ? store.connect(deliver)
      : store.introduce(domid, { deliver, close() {} })
  }

  ask(text: string, transactionId = 0): string {
    const space = text.indexOf(' ')
    const [verb, rest] = [text.slice(0, space), text.slice(space + 1)]
    const write = verb === 'write'
    const payload = bytesOf(rest.replaceAll('|', '\0') + (write ? '' : '\0'))
    const type = write ? XS_WRITE : types[verb] ?? 99
    this.#store.handle(this.#connection, { type, requestId: 7, transactionId, payload })
    return this.#reply
  }

  #take(message: Message): void {
    const text = textOf(message.payload)
    const shown = text.replace(/\0$/, '').replaceAll('\0', '|')
    if (message.type === XS_WATCH_EVENT) this.events.push(shown)
    else {
      assert.equal(message.requestId, 7)
      this.#reply = message.type === XS_ERROR ? `!${shown}` : shown
    }
  }
}

function world(): { store: Xenstored, dom0: Client, guest: Client } {
  const store = new Xenstored()
  const dom0 = new Client(store)
  dom0.ask('mkdir /local/domain/1')
  dom0.ask('chmod /local/domain/1|n0|r1')
  dom0.ask('mkdir /local/domain/1/data')
  dom0.ask('chmod /local/domain/1/data|n1')
  return { store, dom0, guest: new Client(store, 1) }
}

test('a written node reads back, and its parents came with it', () => {
  const { dom0 } = world()
  assert.equal(dom0.ask('write /a/b/c|value'), 'OK')
  assert.equal(dom0.ask('read /a/b/c'), 'value')
  assert.equal(dom0.ask('read /a/b'), '')
  assert.equal(dom0.ask('ls /a'), 'b')
})

test('values are bytes, NUL included', () => {
  const { dom0 } = world()
  dom0.ask('write /x|one|two')
  assert.equal(dom0.ask('read /x'), 'one|two')
})

test('a missing node is ENOENT, an illegal name EINVAL, an unknown request ENOSYS', () => {
  const { dom0 } = world()
  assert.equal(dom0.ask('read /none'), '!ENOENT')
  for (const bad of ['/a//b', '/a/', '/a b', '', '@introduceDomain', `/${'x'.repeat(3072)}`]) {
    assert.equal(dom0.ask(`read ${bad}`), '!EINVAL', bad)
  }
  assert.equal(dom0.ask('nonsense x'), '!ENOSYS')
  assert.equal(dom0.ask('restrict x'), '!ENOSYS')
})

test('removing takes the subtree; removing nothing below an existing parent is no error', () => {
  const { dom0 } = world()
  dom0.ask('write /a/b/c|1')
  assert.equal(dom0.ask('rm /a'), 'OK')
  assert.equal(dom0.ask('read /a/b/c'), '!ENOENT')
  assert.equal(dom0.ask('rm /a'), 'OK')
  assert.equal(dom0.ask('rm /none/x'), '!ENOENT')
  assert.equal(dom0.ask('rm /'), '!EINVAL')
})

test('relative paths are below the home of the domain', () => {
  const { dom0, guest } = world()
  assert.equal(guest.ask('write data/key|v'), 'OK')
  assert.equal(dom0.ask('read /local/domain/1/data/key'), 'v')
  assert.equal(guest.ask('home 1'), '/local/domain/1')
})

test('a guest reads what it may and is told EACCES for the rest, existing or not', () => {
  const { dom0, guest } = world()
  dom0.ask('write /secret/a|1')
  assert.equal(guest.ask('read /secret/a'), '!EACCES')
  assert.equal(guest.ask('read /secret/none'), '!EACCES')
  assert.equal(guest.ask('read none'), '!ENOENT')
  assert.equal(guest.ask('write new|1'), '!EACCES')
  assert.equal(guest.ask('control help'), '!EACCES')
  assert.equal(guest.ask('release 1'), '!EACCES')
})

test('a node that a guest creates is its own', () => {
  const { guest } = world()
  guest.ask('write data/x|1')
  assert.equal(guest.ask('perms data/x'), 'n1')
  assert.equal(guest.ask('chmod data/x|n1|r0|b5'), 'OK')
  assert.equal(guest.ask('perms data/x'), 'n1|r0|b5')
  assert.equal(guest.ask('chmod data/x|n2'), '!EPERM')
  assert.equal(guest.ask('chmod /local/domain/1|n1'), '!EACCES')
  assert.equal(guest.ask('chmod data/x|q1'), '!EINVAL')
})

test('a watch fires at once, then for the node and what is below it, with its token', () => {
  const { dom0 } = world()
  dom0.ask('watch /a|token')
  dom0.ask('write /a|1')
  dom0.ask('write /a/b/c|1')
  dom0.ask('write /ab|1')
  assert.deepEqual(dom0.events, ['/a|token', '/a|token', '/a/b/c|token'])
  assert.equal(dom0.ask('watch /a|token'), '!EEXIST')
  assert.equal(dom0.ask('unwatch /a|token'), 'OK')
  assert.equal(dom0.ask('unwatch /a|token'), '!ENOENT')
  dom0.ask('write /a|2')
  assert.equal(dom0.events.length, 3)
})

test('a relative watch reports relative paths', () => {
  const { dom0, guest } = world()
  guest.ask('watch device|dev')
  dom0.ask('mkdir /local/domain/1/device/vbd')
  assert.deepEqual(guest.events, ['device|dev', 'device/vbd|dev'])
})

test('removing a tree fires the watches inside it, and one event for those above', () => {
  const { dom0 } = world()
  dom0.ask('write /a/b/c|1')
  dom0.ask('watch /|top')
  dom0.ask('watch /a/b/c|deep')
  dom0.events.length = 0
  dom0.ask('rm /a')
  assert.deepEqual(dom0.events, ['/a|top', '/a/b/c|deep'])
})

test('a guest hears nothing of nodes it may not read', () => {
  const { dom0, guest } = world()
  dom0.ask('mkdir /secret')
  guest.ask('watch /secret|s')
  dom0.ask('write /secret/x|1')
  assert.deepEqual(guest.events, ['/secret|s'])
})

test('special watches tell the control domain who comes and goes, and guests nothing', () => {
  const { store, dom0, guest } = world()
  dom0.ask('watch @introduceDomain|i')
  dom0.ask('watch @releaseDomain|r')
  guest.ask('watch @releaseDomain|g')
  new Client(store, 2)
  store.release(2)
  assert.deepEqual(dom0.events,
    ['@introduceDomain|i', '@releaseDomain|r', '@introduceDomain|i', '@releaseDomain|r'])
  assert.deepEqual(guest.events, ['@releaseDomain|g'])
  assert.equal(dom0.ask('known 1'), 'T')
  assert.equal(dom0.ask('known 2'), 'F')
})

test('a dead domain leaves no nodes, no rights and no target behind', () => {
  const { store, dom0, guest } = world()
  dom0.ask('write /a/b|1')
  dom0.ask('chmod /a/b|n0|r1|r2')
  dom0.ask('chmod @releaseDomain|n0|r1')
  dom0.ask('write /a/c/d|1')
  dom0.ask('chmod /a/c|n1')
  guest.ask('write data/x|1')
  dom0.ask('watch /a|w')
  store.bury(1)
  assert.equal(dom0.ask('perms /a/b'), 'n0|r2')
  assert.equal(dom0.ask('perms @releaseDomain'), 'n0')
  assert.equal(dom0.ask('ls /a'), 'b')
  assert.equal(dom0.ask('read /local/domain/1/data'), '!ENOENT')
  assert.deepEqual(dom0.events, ['/a|w', '/a/c|w'])
  assert.equal(store.tree.ownedBy(1), 0)
  assert.deepEqual(store.tree.inconsistencies(), [])
})

test('control commands answer as xenstored does', () => {
  const { store, dom0 } = world()
  assert.equal(dom0.ask('control check'), 'OK')
  assert.equal(dom0.ask('control print|words'), 'OK')
  assert.equal(dom0.ask('control quota|set|nodes|2000'), 'OK')
  assert.equal(store.quota.nodes, 2000)
  assert.match(dom0.ask('control quota'), /^Quota settings:\nnodes {12}: {5}2000 Nodes per/)
  assert.match(dom0.ask('control quota|1'), /^Domain 1:\nnodes {11}: {8}1\n/)
  for (const bad of ['', 'nonsense', 'check|more', 'print', 'quota|x', 'quota|set|nodes|x']) {
    assert.equal(dom0.ask(`control ${bad}`), '!EINVAL', bad)
  }
})

test('a transaction is invisible until it commits, and its events come then', () => {
  const { dom0 } = world()
  dom0.ask('watch /a|t')
  const id = Number(dom0.ask('begin '))
  dom0.ask('write /a|1', id)
  assert.equal(dom0.ask('read /a', id), '1')
  assert.equal(dom0.ask('read /a'), '!ENOENT')
  assert.deepEqual(dom0.events, ['/a|t'])
  assert.equal(dom0.ask('end T', id), 'OK')
  assert.deepEqual(dom0.events, ['/a|t', '/a|t'])
  assert.equal(dom0.ask('read /a'), '1')
  assert.equal(dom0.ask('read /a', id), '!ENOENT')
})

test('a transaction sees all of the store as it was when it began', () => {
  const { dom0 } = world()
  dom0.ask('write /a/x|1')
  dom0.ask('write /a/y|1')
  const id = Number(dom0.ask('begin '))
  dom0.ask('write /a/x|2')
  dom0.ask('write /a/z|2')
  dom0.ask('rm /a/y')
  dom0.ask('chmod /a|r0')
  assert.equal(dom0.ask('ls /a', id), 'x|y')
  assert.equal(dom0.ask('read /a/x', id), '1')
  assert.equal(dom0.ask('read /a/y', id), '1')
  assert.equal(dom0.ask('read /a/z', id), '!ENOENT')
  assert.equal(dom0.ask('perms /a', id), 'n0')
  dom0.ask('write /mine|1', id)
  assert.equal(dom0.ask('end T', id), '!EAGAIN')
})

test('what a guest makes the store keep of the past is bounded', () => {
  const { dom0, guest } = world()
  const id = Number(guest.ask('begin '))
  for (let i = 0; i < 20000; i++) dom0.ask(`write /many/${i >> 7}/${i}|1`)
  assert.equal(guest.ask('perms data', id), 'n1')
  assert.equal(guest.ask('end T', id), '!EAGAIN')
})

test('an abandoned transaction leaves nothing', () => {
  const { dom0 } = world()
  const id = Number(dom0.ask('begin '))
  dom0.ask('write /a|1', id)
  dom0.ask('end F', id)
  assert.equal(dom0.ask('read /a'), '!ENOENT')
})

test('a transaction that saw what has changed since ends with EAGAIN', () => {
  const { dom0 } = world()
  dom0.ask('write /a/x|1')
  for (const look of ['read /a/x', 'ls /a', 'read /a/new', 'rm /a']) {
    const id = Number(dom0.ask('begin '))
    dom0.ask(look, id)
    dom0.ask('write /mine|1', id)
    dom0.ask('write /a/x|2')
    dom0.ask('write /a/new|1')
    assert.equal(dom0.ask('end T', id), '!EAGAIN', look)
    dom0.ask('rm /a/new')
  }
})

test('transactions that touch different children of a directory both commit', () => {
  const { dom0 } = world()
  dom0.ask('mkdir /a')
  const [one, two] = [Number(dom0.ask('begin ')), Number(dom0.ask('begin '))]
  dom0.ask('write /a/one|1', one)
  dom0.ask('write /a/two|2', two)
  assert.equal(dom0.ask('end T', one), 'OK')
  assert.equal(dom0.ask('end T', two), 'OK')
  assert.equal(dom0.ask('ls /a'), 'one|two')
})

test('removing and creating again inside a transaction commits as the last state', () => {
  const { dom0 } = world()
  dom0.ask('write /a/b|1')
  const id = Number(dom0.ask('begin '))
  dom0.ask('rm /a', id)
  assert.equal(dom0.ask('read /a/b', id), '!ENOENT')
  dom0.ask('write /a/c|2', id)
  assert.equal(dom0.ask('ls /a', id), 'c')
  assert.equal(dom0.ask('end T', id), 'OK')
  assert.equal(dom0.ask('ls /a'), 'c')
})

test('a transaction may write a node after those below it', () => {
  const { dom0, guest } = world()
  const id = Number(guest.ask('begin '))
  guest.ask('write data/a/b|1', id)
  guest.ask('write data/a|2', id)
  assert.equal(guest.ask('end T', id), 'OK')
  assert.equal(dom0.ask('read /local/domain/1/data/a'), '2')
  assert.equal(dom0.ask('read /local/domain/1/data/a/b'), '1')
})

test('quotas bound what a guest can hold', () => {
  const { guest } = world()
  let made = 0
  while (guest.ask(`mkdir data/n${made}`) === 'OK') made++
  assert.equal(made, 999)
  assert.equal(guest.ask('mkdir data/more'), '!ENOSPC')
  assert.equal(guest.ask(`write data/n0|${'x'.repeat(2049)}`), '!ENOSPC')
  let watches = 0
  while (guest.ask(`watch data|${watches}`) === 'OK') watches++
  assert.equal(watches, 129)
  let open = 0
  while (!guest.ask('begin ').startsWith('!')) open++
  assert.equal(open, 11)
  assert.equal(guest.ask('reset '), 'OK')
  assert.equal(guest.ask('begin ').startsWith('!'), false)
})

test('a transaction of a guest cannot grow without bound', () => {
  const { guest } = world()
  const id = Number(guest.ask('begin '))
  let writes = 0
  while (guest.ask('write data/x|1', id) === 'OK' && writes < 10000) writes++
  assert.ok(writes < 3000)
  assert.equal(guest.ask('end T', id), 'OK')
})

test('a long directory is E2BIG and comes in parts', () => {
  const { dom0 } = world()
  const names = Array.from({ length: 500 }, (_, i) => `name-number-${1000 + i}`)
  for (const name of names) dom0.ask(`mkdir /d/${name}`)
  assert.equal(dom0.ask('ls /d'), '!E2BIG')
  const list: string[] = []
  for (let offset = 0, done = false; !done;) {
    const part = dom0.ask(`part /d|${offset}`)
    assert.ok(part.length <= XENSTORE_PAYLOAD_MAX)
    const [, ...rest] = part.split('|')
    done = rest.at(-1) === ''
    list.push(...rest.filter((name) => name !== ''))
    offset = list.join('|').length + 1
  }
  assert.deepEqual(list, names)
})
