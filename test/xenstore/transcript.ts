/**
 * Transcripts of real xenstored 4.17.7, performed again on our store.
 *
 * A transcript is what `probe.c` printed in a Dom0 of real Xen with two guests, 1 and 2: the lines
 * of its script, each with what came back (`  OK`, `  !ENOENT`) and the watch events
 * (`  * a /path|token`). probe.c describes the notation; `tree.txt` is the store before.
 */
import type { Permissions } from '../../src/xenstore/permissions.ts'
import { LocalClient } from '../../src/xenstore/client.ts'
import type { Connection } from '../../src/xenstore/connection.ts'
import { parsePermissions } from '../../src/xenstore/permissions.ts'
import { bytesOf, type Message, textOf } from '../../src/xenstore/wire.ts'
import { Xenstored } from '../../src/xenstore/xenstored.ts'
import { XS_ERROR, XS_WATCH_EVENT } from '../../src/abi/xen/io/xs_wire.ts'

const VERBS = [
  'control', 'ls', 'read', 'perms', 'watch', 'unwatch', 'begin', 'end', 'introduce', 'release',
  'home', 'write', 'mkdir', 'rm', 'chmod', 'event', 'error', 'known', 'resume', 'target',
  'restrict', 'reset', 'part',
]
const UNKNOWN = 99

/** Lines as the probe shows them: | for NUL, \xNN, long runs counted, one NUL at the end unseen. */
function shown(payload: Uint8Array): string {
  const text = textOf(payload).replace(/\0$/, '')
  return text
    .replace(/(.)\1{9,}/gs, (run, character: string) => `\u0001${character}*${run.length}\u0002`)
    .replaceAll('\0', '|')
    .replace(/[^\u0001\u0002!-~]/g,
      (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .replaceAll('\u0001', '{').replaceAll('\u0002', '}')
}

function expand(text: string, count: number): Uint8Array {
  return bytesOf(text
    .replace(/\{(.)\*(\d+)\}/g, (_, character: string, times: string) =>
      character.repeat(Number(times)))
    .replaceAll('{i}', `${count}`)
    .replaceAll('|', '\0'))
}

/** One of the transcript's clients. */
class Client {
  readonly who: string
  readonly connection: Connection
  readonly transactions = new Map<string, number>()
  /** Replies and events as they came. */
  received: Message[] = []

  constructor(who: string, connect: (deliver: (message: Message) => void) => Connection) {
    this.who = who
    this.connection = connect((message) => this.#take(message))
  }

  #take(message: Message): void {
    this.received.push(message)
  }

  /** What came since the last call. */
  take(): Message[] {
    const { received } = this
    this.received = []
    return received
  }

  shown(event: Message): string {
    return `  * ${this.who} ${shown(event.payload)}`
  }
}

/** The world of the transcripts. */
export class TranscriptPlayer {
  readonly store = new Xenstored()
  readonly #clients = new Map<string, Client>()

  /** `tree` is what xenstore-ls -fp printed. */
  constructor(tree: string) {
    const dom0 = new LocalClient(this.store)
    for (const line of tree.split('\n')) {
      const match = /^(\S+) = "(.*?)" +\(([^)]*)\)$/.exec(line)
      if (!match) continue
      const [, path = '', value = '', list = ''] = match
      if (path.startsWith('/@')) continue
      dom0.write(path, value)
      dom0.setPermissions(path, parsePermissions(list.split(',')) as Permissions)
    }
    dom0.close()
    for (const domid of [1, 2]) this.#introduce(domid)
  }

  /** Performs one line of the script; what the probe would print below it. */
  perform(line: string): string[] {
    const match = /^([a-f\d])(?::(\S+))? (\S+)(?: (.*))?$/.exec(line)
    if (line.startsWith('!')) this.#shell(line)
    const out: string[] = []
    const who = match?.[1] ?? ''
    if (match) {
      const [, , transaction = '', verb = '', argument = ''] = match
      if (verb === 'close') this.#close(who)
      else out.push(...this.#ask(this.#client(who), transaction, verb, argument))
    }
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', '1', '2', '3']) {
      const client = this.#clients.get(name)
      if (client) out.push(...client.take().map((event) => client.shown(event)))
    }
    return out
  }

  #ask(client: Client, transaction: string, verb: string, argument: string): string[] {
    let out: string[] = []
    let count = 0
    const until = verb === 'until'
    const [, name = '', rest = ''] = (until ? /^(\S+) ?(.*)$/.exec(argument) : null) ??
      ['', verb, argument]
    do {
      out = this.#once(client, transaction, name, expand(rest, count++))
      if (until) out = out.filter((line) => !line.startsWith('  *'))
    } while (until && !out[0]?.startsWith('  !') && count < 3000)
    return until ? [`  after ${count - 1} ${out[0]?.trim()}`] : out
  }

  #once(
    client: Client, transaction: string, verb: string, payload: Uint8Array,
  ): string[] {
    const begins = verb === 'begin'
    const open = client.transactions.get(transaction) ?? Number(transaction)
    const type = VERBS.includes(verb) ? VERBS.indexOf(verb) : UNKNOWN
    this.store.handle(client.connection,
      { type, requestId: 7, transactionId: begins ? 0 : open || 0, payload })
    return client.take().map((message) => {
      if (message.type === XS_WATCH_EVENT) return client.shown(message)
      const { payload: reply } = message
      if (message.type === XS_ERROR) return `  !${shown(reply)}`
      if (begins) client.transactions.set(transaction, Number(textOf(reply).replace('\0', '')))
      if (begins) return '  begun'
      // The probe leaves out the generation, and ends what is left with one more NUL.
      return verb === 'part' ? `  ${shown(bytesOf(`${textOf(reply).replace(/^\d+\0/, '')}\0`))}`
        : `  ${shown(reply)}`
    })
  }

  #client(who: string): Client {
    let client = this.#clients.get(who)
    if (!client) {
      client = new Client(who, (deliver) => this.store.connect(deliver))
      this.#clients.set(who, client)
    }
    return client
  }

  #close(who: string): void {
    const client = this.#clients.get(who)
    if (client) this.store.disconnect(client.connection)
    this.#clients.delete(who)
  }

  #introduce(domid: number): void {
    this.#clients.set(`${domid}`, new Client(`${domid}`, (deliver) =>
      this.store.introduce(domid, { deliver, close() {} })))
  }

  /** What a line for Dom0's shell means to the store. */
  #shell(line: string): void {
    if (line.includes('xl destroy two')) this.store.bury(2)
    if (line.includes('xl create /in/three.cfg')) this.#introduce(3)
  }
}
