/**
 * Pseudo-terminals from both ends; where there can be none, there is nothing to test.
 */
import assert from 'node:assert/strict'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPty } from './pty.ts'

const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What there is to read of an end. */
function readable(fd: number): string {
  const buffer = Buffer.alloc(65_536)
  let text = ''
  for (;;) {
    try {
      const size = readSync(fd, buffer)
      if (size === 0) return text
      text += buffer.toString('latin1', 0, size)
    } catch {
      return text
    }
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

const first = openPty()
const isThere = first !== undefined
first?.end()

test('bytes go both ways as they are, and none come back', { skip: !isThere }, async () => {
  const pty = openPty() ?? assert.fail()
  let said = ''
  pty.onData((some) => (said += new TextDecoder().decode(some)))
  const other = openSync(pty.path, flags)
  assert.equal(pty.write(bytes('login:\n')), true)
  await until(() => readable(other) === 'login:\n')
  writeSync(other, '\x03root\r')
  await until(() => said === '\x03root\r')
  assert.equal(readable(other), '')
  closeSync(other)
  // Another comes, and finds the line open.
  const next = openSync(pty.path, flags)
  writeSync(next, 'again')
  await until(() => said === '\x03root\ragain')
  closeSync(next)
  pty.end()
})

test('what nobody reads waits, and goes on in order', { skip: !isThere }, async () => {
  const pty = openPty() ?? assert.fail()
  const text = Array.from({ length: 40_000 }, (_, i) => `${i} `).join('')
  assert.equal(pty.write(bytes(text)), false)
  let drained = false
  pty.onDrain(() => (drained = true))
  const other = openSync(pty.path, flags)
  let got = ''
  await until(() => {
    got += readable(other)
    return got.length === text.length
  })
  assert.ok(got === text)
  assert.equal(drained, true)
  closeSync(other)
  pty.end()
})

test('paused it reads nothing, and ended it is gone', { skip: !isThere }, async () => {
  const pty = openPty() ?? assert.fail()
  let said = ''
  let isClosed = false
  pty.onData((some) => (said += new TextDecoder().decode(some)))
  pty.onClose(() => (isClosed = true))
  pty.pause()
  const other = openSync(pty.path, flags)
  writeSync(other, 'wait')
  await sleep(50)
  assert.equal(said, '')
  pty.resume()
  await until(() => said === 'wait')
  pty.end()
  pty.end()
  assert.equal(isClosed, true)
  assert.throws(() => writeSync(other, 'nobody'), { code: 'EIO' })
  closeSync(other)
})
