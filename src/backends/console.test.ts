/**
 * The console ring from both ends.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asDomid, asEvtchnPort } from '../abi/numbers.ts'
import type { ControlDomain } from '../dom0/interfaces.ts'
import { ConsoleEnd } from './console-end.ts'
import type { ConsoleReader } from './console-readers.ts'

const IN_CONS = 768, IN_PROD = 769, OUT_CONS = 770, OUT_PROD = 771
const PORT = asEvtchnPort(5)

/** A guest's end, as Linux's hvc_xen drives it. */
class Guest {
  readonly page = new Uint8Array(new SharedArrayBuffer(4096))
  readonly words = new Int32Array(this.page.buffer)
  readonly console: ConsoleEnd
  signals = 0
  later: (() => void)[] = []

  constructor(limit = 1024 * 1024) {
    this.console = new ConsoleEnd(limit)
    const events = {
      bindInterdomain: () => PORT, unbind() {}, notify: () => this.signals++, onEvent() {},
    }
    const mapping = { length: 1, page: () => this.page, unmap() {} }
    this.console.connectRing({ events } as unknown as ControlDomain,
      (work) => this.later.push(work), asDomid(1), mapping, PORT)
  }

  /** Prints as much as there is room for; how much. */
  print(text: string): number {
    const producer = this.words[OUT_PROD] ?? 0
    const room = 2048 - ((producer - (this.words[OUT_CONS] ?? 0)) >>> 0)
    const count = Math.min(room, text.length)
    for (let i = 0; i < count; i++) {
      this.page[1024 + ((producer + i) & 2047)] = text.charCodeAt(i)
    }
    this.words[OUT_PROD] = producer + count
    return count
  }

  input(): string {
    const consumer = this.words[IN_CONS] ?? 0
    const count = ((this.words[IN_PROD] ?? 0) - consumer) >>> 0
    let text = ''
    for (let i = 0; i < count; i++) {
      text += String.fromCharCode(this.page[(consumer + i) & 1023] ?? 0)
    }
    this.words[IN_CONS] = consumer + count
    return text
  }
}

class Reader implements ConsoleReader {
  text = ''
  ended = 0
  output(bytes: Uint8Array): void {
    this.text += new TextDecoder('latin1').decode(bytes)
  }
  closed(): void {
    this.ended++
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('what is printed before anybody reads is given to the first who attaches', () => {
  const guest = new Guest()
  guest.print('hello ')
  guest.console.service()
  const [one, two] = [new Reader(), new Reader()]
  guest.console.attach(one)
  guest.console.attach(two)
  guest.print('world')
  guest.console.service()
  assert.equal(one.text, 'hello world')
  assert.equal(two.text, 'world')
})

test('after detaching nothing comes any more, and the next reader gets it', () => {
  const guest = new Guest()
  const [one, two] = [new Reader(), new Reader()]
  guest.console.attach(one)
  guest.console.detach(one)
  guest.print('later')
  guest.console.service()
  guest.console.attach(two)
  assert.deepEqual([one.text, two.text], ['', 'later'])
})

test('output that nobody reads never stops the guest, and the newest is kept', () => {
  const guest = new Guest(10000)
  for (let i = 0; i < 200; i++) {
    assert.equal(guest.print(`${i}`.padEnd(1000, '.')), 1000)
    guest.console.service()
  }
  const reader = new Reader()
  guest.console.attach(reader)
  assert.equal(reader.text.length, 10000)
  assert.ok(reader.text.startsWith('190.') && reader.text.includes('199.'))
})

test('a guest that prints without end gives others a turn', () => {
  const guest = new Guest()
  const reader: ConsoleReader = { output: () => void guest.print('y'.repeat(2048)), closed() {} }
  guest.console.attach(reader)
  guest.print('y')
  guest.console.service()
  assert.equal(guest.later.length, 1)
})

test('indexes run through the end of 32 bits, and impossible ones are ignored', () => {
  const guest = new Guest()
  const reader = new Reader()
  guest.console.attach(reader)
  guest.words.fill(0xfffffff8 | 0, IN_CONS)
  for (let i = 0; i < 3; i++) {
    guest.print('abcdef')
    guest.console.service()
    guest.console.write(bytes('xyzxyz'))
    assert.equal(guest.input(), 'xyzxyz')
  }
  assert.equal(reader.text, 'abcdef'.repeat(3))
  guest.words[OUT_PROD] = (guest.words[OUT_CONS] ?? 0) + 2049
  guest.words[IN_CONS] = (guest.words[IN_PROD] ?? 0) + 1
  guest.console.service()
  guest.console.write(bytes('q'))
  assert.equal(reader.text.length, 18)
})

test('input waits for room, and the writer waits with it', () => {
  const guest = new Guest()
  assert.equal(guest.console.write(bytes('a'.repeat(1000))), true)
  assert.equal(guest.console.write(bytes('b'.repeat(20000))), false)
  let room = 0
  guest.console.whenRoom(() => room++)
  let typed = ''
  while (typed.length < 21000) {
    const got = guest.input()
    assert.ok(got.length > 0)
    typed += got
    guest.console.service()
  }
  assert.equal(typed, 'a'.repeat(1000) + 'b'.repeat(20000))
  assert.equal(room, 1)
})

test('a mirror sees what comes, and takes it from no reader', () => {
  const guest = new Guest()
  const [mirror, reader] = [new Reader(), new Reader()]
  guest.console.mirror(mirror)
  guest.print('one')
  guest.console.service()
  guest.console.attach(reader)
  guest.print('two')
  guest.console.service()
  guest.console.detach(mirror)
  guest.print('three')
  guest.console.service()
  assert.deepEqual([mirror.text, reader.text], ['onetwo', 'onetwothree'])
  const late = new Reader()
  guest.console.close()
  guest.console.mirror(late)
  assert.deepEqual([mirror.ended, reader.ended, late.ended], [0, 1, 1])
})

test('closing takes the last output, tells the readers, and leaves the page alone', () => {
  const guest = new Guest()
  const reader = new Reader()
  guest.console.attach(reader)
  guest.print('last words')
  guest.console.close()
  assert.equal(reader.text, 'last words')
  assert.equal(reader.ended, 1)
  guest.print('ghost')
  guest.console.service()
  assert.equal(reader.text, 'last words')
})
