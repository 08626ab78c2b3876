/**
 * The store beside a model of it that is too simple to be wrong.
 *
 * Several clients do random things. Outside transactions every answer and event is the model's. A
 * transaction's answers come from the state at its beginning; when it commits, doing the same at
 * once at that moment gives the same answers, or it changed nothing and happened at its beginning
 * (it is serialisable), and EAGAIN comes only when somebody changed something meanwhile.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  XS_DIRECTORY, XS_ERROR, XS_GET_PERMS, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS,
  XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import type { Connection } from './connection.ts'
import { type Changed, isAtOrBelow, Model, type Step } from './store-model.ts'
import { bytesOf, type Message, textOf } from './wire.ts'
import { Xenstored } from './xenstored.ts'

const types = {
  read: XS_READ, ls: XS_DIRECTORY, perms: XS_GET_PERMS, write: XS_WRITE, mkdir: XS_MKDIR,
  rm: XS_RM, chmod: XS_SET_PERMS,
}

const path = fc.constantFrom('/t', '/t/a', '/t/a/b', '/t/a/b/c', '/t/d', '/t/d/e', '/u', '/u/v')
const permissions = fc.constantFrom(
  'n0', 'n0|r1', 'n0|b1', 'r0', 'b0', 'n1', 'n1|r2', 'b1|n2', 'w2', 'n0|w1|r2')
const operation: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({
    verb: fc.constantFrom('read' as const, 'ls' as const, 'perms' as const), path,
    argument: fc.constant('') }) },
  { weight: 4, arbitrary: fc.record({
    verb: fc.constant('write' as const), path, argument: fc.constantFrom('1', '2', '3') }) },
  { weight: 1, arbitrary: fc.record({
    verb: fc.constantFrom('mkdir' as const, 'rm' as const), path, argument: fc.constant('') }) },
  { weight: 2, arbitrary: fc.record({
    verb: fc.constant('chmod' as const), path, argument: permissions }) })
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('step' as const), step: operation }) },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('inside' as const), step: operation }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('begin' as const) }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('end' as const), commit: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('watch' as const), path }) })
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

interface OpenTransaction {
  readonly id: number
  readonly model: Model
  readonly begun: number
  writes: boolean
  readonly done: { step: Step, answer: string }[]
}

class Client {
  readonly domid: number
  readonly connection: Connection
  readonly watches = new Set<string>()
  open: OpenTransaction | undefined
  events: string[] = []
  answer = ''

  constructor(store: Xenstored, domid: number) {
    this.domid = domid
    const deliver = (message: Message): void => this.#take(message)
    this.connection = domid === 0 ? store.connect(deliver)
      : store.introduce(domid, { deliver, close() {} })
  }

  #take({ type, payload }: Message): void {
    const text = textOf(payload).replace(/\0$/, '').replaceAll('\0', '|')
    if (type === XS_WATCH_EVENT) this.events.push(text.split('|')[0] ?? '')
    else this.answer = type === XS_ERROR ? `!${text}` : text
  }
}

class Comparison {
  readonly store = new Xenstored()
  readonly model = new Model()
  readonly clients = [0, 0, 1, 2].map((domid) => new Client(this.store, domid))
  #changes = 0

  ask(client: Client, type: number, text: string, transactionId = 0): string {
    const payload = bytesOf(text.replaceAll('|', '\0'))
    this.store.handle(client.connection, { type, requestId: 1, transactionId, payload })
    return client.answer
  }

  do(client: Client, { verb, path: at, argument }: Step, transactionId = 0): string {
    const end = verb === 'write' ? argument : argument === '' ? '' : `${argument}|`
    return this.ask(client, types[verb], `${at}|${end}`, transactionId)
  }

  act(client: Client, what: Action): void {
    switch (what.kind) {
      case 'step': {
        const { answer, changed } = this.model.perform(client.domid, what.step)
        assert.equal(this.do(client, what.step), answer)
        this.#expectEvents(changed)
        return
      }
      case 'inside': return this.#inside(client, what.step)
      case 'begin': return this.#begin(client)
      case 'end': return this.#end(client, what.commit)
      case 'watch': return this.#toggleWatch(client, what.path)
    }
  }

  #inside(client: Client, step: Step): void {
    if (!client.open) return
    const { answer, changed } = client.open.model.perform(client.domid, step)
    client.open.writes ||= changed.size > 0
    assert.equal(this.do(client, step, client.open.id), answer)
    client.open.done.push({ step, answer })
    this.#expectEvents(new Map())
  }

  #begin(client: Client): void {
    if (client.open) return
    const id = Number(this.ask(client, XS_TRANSACTION_START, '|'))
    client.open = { id, model: this.model.copy(), begun: this.#changes, writes: false, done: [] }
  }

  #end(client: Client, commit: boolean): void {
    const { open } = client
    if (!open) return
    client.open = undefined
    const answer = this.ask(client, XS_TRANSACTION_END, commit ? 'T|' : 'F|', open.id)
    if (!commit) assert.equal(answer, 'OK')
    if (answer === '!EAGAIN') assert.ok(this.#changes > open.begun, 'EAGAIN without a change')
    else assert.equal(answer, 'OK')
    const changed: Changed = new Map()
    if (commit && answer === 'OK' && open.writes) {
      const before = this.model.copy()
      for (const { step, answer: then } of open.done) {
        const now = this.model.perform(client.domid, step)
        assert.equal(now.answer, then, 'not serialisable')
        for (const [name, exact] of now.changed) {
          changed.set(name, exact && changed.get(name) !== false)
        }
      }
      for (const name of changed.keys()) {
        if (!before.has(name) && !this.model.has(name)) changed.delete(name)
      }
    }
    this.#expectEvents(changed)
  }

  #toggleWatch(client: Client, at: string): void {
    if (client.watches.delete(at)) {
      assert.equal(this.ask(client, XS_UNWATCH, `${at}|t|`), 'OK')
      assert.deepEqual(client.events, [])
    } else {
      client.watches.add(at)
      assert.equal(this.ask(client, XS_WATCH, `${at}|t|`), 'OK')
      assert.deepEqual(client.events, [at])
      client.events = []
    }
  }

  /** The control domain hears of exactly what changed, guests of nothing else. */
  #expectEvents(changed: Changed): void {
    if (changed.size > 0) this.#changes++
    for (const client of this.clients) {
      const expected = new Set<string>()
      for (const [name, exact] of changed) {
        for (const watch of client.watches) {
          if (exact ? name === watch : isAtOrBelow(name, watch)) expected.add(name)
        }
      }
      const got = new Set(client.events)
      client.events = []
      if (client.domid === 0) assert.deepEqual([...got].sort(), [...expected].sort())
      else for (const name of got) assert.ok(expected.has(name), `${name} did not change`)
    }
  }
}

test('whatever several clients do, in and out of transactions, is what the model does', () => {
  const turn = fc.tuple(fc.nat(3), action)
  fc.assert(fc.property(fc.array(turn, { minLength: 50, maxLength: 100, size: 'max' }), (turns) => {
    const comparison = new Comparison()
    for (const [who, what] of turns) {
      const client = comparison.clients[who]
      if (client) comparison.act(client, what)
    }
  }), { numRuns: 300 })
})
