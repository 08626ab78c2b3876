/**
 * Xenstore requests a second, one client asking after another's answer: in process, over a domain's
 * ring and over the unix socket; transactions; and writes beside a million watches.
 *
 * `sh tools/with-node.sh bench/xenstore.ts [--seconds N] [--publish]`; with `--publish` the table
 * goes into docs/benchmarks.md.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { XenstoreDomainInterface, XS_READ, XS_WATCH, XS_WRITE } from '../src/abi/xen/io/xs_wire.ts'
import { serveStore } from '../src/bin/store-socket.ts'
import { UnixListener } from '../src/node/unix-socket.ts'
import { LocalClient } from '../src/xenstore/client.ts'
import { DomainRing } from '../src/xenstore/ring.ts'
import { bytesOf, encodeMessage } from '../src/xenstore/wire.ts'
import { Xenstored } from '../src/xenstore/xenstored.ts'
import { publish } from './lib/document.ts'
import { load, settingOf } from './lib/results.ts'
import { settingText } from './lib/tables.ts'

const MILLION = 1_000_000
const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, publish: { type: 'boolean' } },
})
const seconds = Number(options.seconds)
const lines = ['| xenstore requests | a second |', '| --- | ---: |']

function report(what: string, count: number, startedAt: number): void {
  const rate = Math.round(count / ((performance.now() - startedAt) / 1000))
  lines.push(`| ${what} | ${rate.toLocaleString('en')} |`)
  console.log(lines.at(-1))
}

function measure(what: string, once: (i: number) => void): void {
  for (let i = 0; i < 2000; i++) once(i)
  const start = performance.now()
  let count = 0
  while (performance.now() - start < seconds * 1000) {
    for (let i = 0; i < 100; i++) once(count++)
  }
  report(what, count, start)
}

function aStore(): { store: Xenstored, client: LocalClient } {
  const store = new Xenstored()
  const client = new LocalClient(store)
  for (let domid = 1; domid <= 20; domid++) {
    for (let node = 0; node < 50; node++) client.write(`/local/domain/${domid}/a/${node}`, 'value')
    client.setPermissions(`/local/domain/${domid}/a/0`, [{ domid, access: 0 }])
  }
  return { store, client }
}

function measureLocal(): void {
  const { client } = aStore()
  measure('read, in process', () => void client.read('/local/domain/7/a/5'))
  measure('write, in process', (i) => client.write('/local/domain/7/a/5', `${i}`))
  measure('transaction of a read and a write', (i) => client.transaction((tree) => {
    tree.read('/local/domain/7/a/5')
    tree.write('/local/domain/7/a/6', `${i}`)
  }))
}

function measureRing(): void {
  const { store } = aStore()
  const page = new Uint8Array(new SharedArrayBuffer(4096))
  const words = new Int32Array(page.buffer)
  const { offsets } = XenstoreDomainInterface
  const [produced, consumed] = [offsets.req_prod >> 2, offsets.rsp_cons >> 2]
  const answered = offsets.rsp_prod >> 2
  const ring = new DomainRing(page, store, { notify() {}, schedule() {}, closed() {} })
  ring.open(7)
  const request = (type: number, text: string) =>
    encodeMessage({ type, requestId: 1, transactionId: 0, payload: bytesOf(text) })
  const ask = (bytes: Uint8Array): void => {
    const start = words[produced] ?? 0
    bytes.forEach((byte, i) => (page[offsets.req + ((start + i) & 1023)] = byte))
    words[produced] = start + bytes.length
    ring.service()
    words[consumed] = words[answered] ?? 0
  }
  const [read, write] = [request(XS_READ, 'a/0\0'), request(XS_WRITE, 'a/0\0value')]
  measure("read, over a domain's ring", () => ask(read))
  measure("write, over a domain's ring", () => ask(write))
}

async function measureSocket(): Promise<void> {
  const { store } = aStore()
  const folder = mkdtempSync(join(tmpdir(), 'xenstore-'))
  const listener =
    await UnixListener.listen(join(folder, 'socket'), (stream) => serveStore(store, stream))
  const socket = connect(join(folder, 'socket'))
  const bytes = encodeMessage({ type: XS_READ, requestId: 1, transactionId: 0,
    payload: bytesOf('/local/domain/7/a/5\0') })
  const start = performance.now()
  let count = 0
  await new Promise<void>((resolve) => {
    socket.on('data', () => {
      count++
      if (performance.now() - start > seconds * 1000) resolve()
      else socket.write(bytes)
    })
    socket.write(bytes)
  })
  report('read, over the socket, from this process', count, start)
  socket.destroy()
  listener.close()
  rmSync(folder, { recursive: true })
}

function measureWatches(): void {
  const { store, client } = aStore()
  const connection = store.connect(() => {})
  const start = performance.now()
  for (let i = 0; i < MILLION; i++) {
    store.handle(connection, { type: XS_WATCH, requestId: 1, transactionId: 0,
      payload: bytesOf(`/w/${i % 1000}/${i}\0t\0`) })
  }
  report('watch, up to a million', MILLION, start)
  measure('write, beside a million watches', (i) => client.write('/local/domain/7/a/5', `${i}`))
}

const before = load()
measureLocal()
measureRing()
await measureSocket()
measureWatches()
if (options.publish) {
  const setting = settingText(settingOf([before, load()], undefined))
  publish('bench/xenstore.ts', `${setting}.\n\n${lines.join('\n')}`)
}
