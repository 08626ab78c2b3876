/**
 * TCP between two ends on a simulated network, and one end against segments written by hand.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TcpConnection } from './connection.ts'
import { ACK, FIN, NO_BYTES, readSegment, RST, type Segment, segmentLength, SYN, writeSegment }
  from './segment.ts'
import { pattern, Script } from './scripted-peer.ts'
import { connectPair, Endpoint, randomFrom, SimulatedTime, sketch, type Weather } from
  './simulation.ts'

/** Sends everything, waiting where `write` says so. */
function sendAll(end: Endpoint, bytes: Uint8Array, time: SimulatedTime, thenEnd: boolean): void {
  let at = 0
  const step = (): void => {
    while (at < bytes.length) {
      const part = bytes.slice(at, at += 10_000)
      if (!end.connection!.write(part)) return
    }
    if (thenEnd) end.connection!.end()
  }
  end.drained = step
  if (end.isConnected) step()
  else end.connected = () => {
    end.isConnected = true
    time.after(0, step)
  }
}

const seed = Number(process.env['SEED'] ?? 20_260_101)

const weathers: readonly [string, Weather][] = [
  ['a clear day', {}],
  ['one segment in ten is lost', { lost: 0.1 }],
  ['a third is lost', { lost: 0.33 }],
  ['segments overtake one another', { jitterMs: 30 }],
  ['half are doubled', { doubled: 0.5 }],
  ['everything goes wrong', { lost: 0.1, doubled: 0.2, jitterMs: 40 }],
]

for (const [name, weather] of weathers) {
  test(`all bytes come in order both ways, and both ends close: ${name}`, () => {
    for (let round = 0; round < 5; round++) {
      const where = `SEED=${seed + round}`
      const random = randomFrom(seed + round)
      const time = new SimulatedTime()
      const { client, server } = connectPair(time, weather, random)
      const up = pattern(150_000 + Math.floor(random() * 1000), round)
      const down = pattern(90_000, round + 77)
      sendAll(client, up, time, true)
      time.run(1000, () => server.connection !== undefined)
      if (!server.connection) time.run(60_000, () => server.connection !== undefined)
      sendAll(server, down, time, true)
      time.run(3_600_000)
      assert.ok(Buffer.from(server.bytes).equals(up), `client to server, ${where}`)
      assert.ok(Buffer.from(client.bytes).equals(down), `server to client, ${where}`)
      assert.deepEqual([client.hasEnded, server.hasEnded], [true, true], where)
      assert.deepEqual([client.connection!.state, server.connection!.state], ['CLOSED', 'CLOSED'])
      assert.deepEqual([client.end, server.end], ['closed', 'closed'], where)
      assert.equal(time.pending, 0, where)
    }
  })
}

test('a SYN is answered with our segment size and a scale, if the peer has one', () => {
  const scaled = new Script().take()[0]
  assert.deepEqual([sketch(scaled!), scaled?.largestSegment, scaled?.windowScale], ['SA', 1460, 4])
  assert.equal(scaled?.acknowledgment, 1001)
  assert.equal(new Script({}).take()[0]?.windowScale, undefined)
})

test('a SYN-ACK that is lost is sent again, a few times', () => {
  const script = new Script()
  script.time.run(600_000)
  assert.equal(script.sketches(), 'SA SA SA SA SA SA SA')
  assert.equal(script.ours.end, 'timeout')
})

test('nothing is sent before the handshake is over', () => {
  const script = new Script()
  script.connection.write(pattern(10))
  assert.equal(script.sketches(), 'SA')
  script.establish()
  assert.equal(script.sketches(), 'A10')
})

test('a connection that is refused ends', () => {
  const time = new SimulatedTime()
  const ours = new Endpoint()
  const connection = TcpConnection.connect(77, 1460, time, ours)
  const refusal = { sequence: 0, window: 0, payload: NO_BYTES, flags: RST | ACK }
  connection.input({ ...refusal, acknowledgment: 50 })
  assert.equal(connection.state, 'SYN-SENT')
  connection.input({ ...refusal, acknowledgment: 78 })
  assert.equal(ours.end, 'reset')
  assert.equal(time.pending, 0)
})

test('the peer\'s segment size and window are obeyed', () => {
  const script = new Script().establish(2500)
  script.connection.write(pattern(5000))
  assert.equal(script.sketches(), 'A1000 A1000')
  script.acknowledgment += 1000
  script.send({ window: 2500 })
  assert.equal(script.sketches(), 'A1000')
  script.acknowledgment += 2000
  script.send({ window: 300 })
  assert.equal(script.sketches(), 'A300')
})

test('the peer\'s window is scaled', () => {
  const script = new Script({ windowScale: 5, largestSegment: 1000 }).establish(100)
  script.connection.write(pattern(5000))
  assert.equal(script.sketches(), 'A1000 A1000 A1000')
})

test('a closed window is probed until it opens, however long that takes', () => {
  const script = new Script().establish(0)
  script.connection.write(pattern(500))
  assert.equal(script.sketches(), '')
  for (let i = 0; i < 40; i++) {
    script.time.run(60_000, () => script.ours.sent.length > 0)
    const [probe] = script.take()
    assert.equal(probe && sketch(probe), 'A')
    assert.equal(probe?.sequence, 5000)
    script.send({ window: 0 })
  }
  script.send({ window: 1000 })
  assert.equal(script.sketches(), 'A500')
})

test('probes that are not answered are given up', () => {
  const script = new Script().establish(0)
  script.connection.write(pattern(500))
  script.time.run(3_600_000)
  assert.equal(script.ours.end, 'timeout')
})

test('three duplicates bring the missing segment at once', () => {
  const script = new Script().establish()
  script.connection.write(pattern(6000))
  script.take()
  for (let i = 0; i < 3; i++) script.send({})
  const [again, ...more] = script.take()
  assert.deepEqual([again?.sequence, again?.payload.length, more.length], [5001, 1000, 0])
  script.acknowledgment += 6000
  script.send({})
  script.connection.write(pattern(10))
  assert.equal(script.sketches(), 'A10')
})

test('what is not acknowledged is sent again, at growing distances, and then given up', () => {
  const script = new Script().establish()
  script.connection.write(pattern(10))
  const at: number[] = []
  while (script.ours.end === undefined) {
    at.push(script.time.now())
    script.ours.sent.length = 0
    script.time.run(100_000, () => script.ours.sent.length > 0)
  }
  const gaps = at.slice(1).map((ms, i) => ms - at[i]!)
  assert.deepEqual(gaps.slice(0, 3), [1000, 2000, 4000])
  assert.equal(Math.max(...gaps), 60_000)
  assert.equal(script.ours.end, 'timeout')
})

test('segments out of order wait, and their overlaps count once', () => {
  const script = new Script().establish()
  const bytes = pattern(300)
  const part = (from: number, to: number): void =>
    script.send({ sequence: 1001 + from, payload: bytes.subarray(from, to) })
  part(200, 300)
  part(100, 250)
  part(50, 120)
  assert.equal(script.ours.gotLength, 0)
  assert.ok(script.take().every(({ acknowledgment }) => acknowledgment === 1001))
  part(0, 60)
  assert.ok(Buffer.from(script.ours.bytes).equals(bytes))
  assert.equal(script.take()[0]?.acknowledgment, 1301)
})

test('a peer that sends crumbs out of order cannot fill the memory', () => {
  const script = new Script().establish()
  for (let i = 0; i < 5000; i++) script.data(1, 2 + 2 * i)
  script.data(600, 0)
  assert.equal(script.ours.gotLength, 600)
})

test('what comes in order is acknowledged together, soon or after many bytes', () => {
  const script = new Script().establish()
  // The first one opens the window that a SYN cannot tell of.
  script.data(1000)
  script.take()
  const acknowledged = (): number[] => script.take().map(({ acknowledgment }) => acknowledgment)
  for (let i = 1; i < 5; i++) script.data(1000, i * 1000)
  assert.equal(script.sketches(), '')
  script.time.run(2)
  assert.deepEqual(acknowledged(), [6001])
  script.data(140_000, 5000)
  assert.deepEqual(acknowledged(), [146_001])
  // Out of order, the peer hears of it at once.
  script.data(1000, 147_000)
  assert.deepEqual(acknowledged(), [146_001])
})

test('an acknowledgment goes along with what is sent', () => {
  const script = new Script().establish()
  script.data(1000)
  script.take()
  script.data(1000, 1000)
  script.connection.write(pattern(10))
  script.time.run(5)
  assert.equal(script.sketches(), 'A10')
})

test('the window closes while the owner does not consume, and opens when it does', () => {
  const script = new Script().establish()
  script.ours.eager = false
  let sent = 0
  for (;;) {
    const window = script.ours.sent.at(-1)
    if (window && window.window << 4 < 1000) break
    script.data(1000, sent)
    script.time.run(2)
    sent += 1000
    assert.ok(sent < 600_000)
  }
  assert.equal(script.ours.gotLength, sent)
  script.take()
  script.connection.consume(1000)
  assert.equal(script.sketches(), '')
  script.connection.consume(100_000)
  const [update] = script.take()
  assert.ok(update && update.window << 4 >= 100_000)
  // What goes beyond the window is not taken.
  script.ours.gotLength = 0
  script.data(300_000, sent)
  assert.ok(script.ours.gotLength >= 100_000 && script.ours.gotLength < 110_000)
})

test('after the peer\'s FIN we may still send, and then close', () => {
  const script = new Script().establish()
  script.send({ flags: FIN | ACK })
  assert.equal(script.ours.hasEnded, true)
  assert.equal(script.connection.state, 'CLOSE-WAIT')
  script.connection.write(pattern(100))
  script.connection.end()
  assert.equal(script.sketches(), 'A A100 FA')
  script.sequence++
  script.acknowledgment += 101
  script.send({})
  assert.equal(script.ours.end, 'closed')
})

test('after our FIN we still receive, and wait before we forget', () => {
  const script = new Script().establish()
  script.connection.end()
  assert.equal(script.sketches(), 'FA')
  script.acknowledgment++
  script.send({})
  assert.equal(script.connection.state, 'FIN-WAIT-2')
  script.data(50)
  assert.equal(script.ours.gotLength, 50)
  script.send({ sequence: 1051, flags: FIN | ACK })
  assert.equal(script.connection.state, 'TIME-WAIT')
  script.send({ sequence: 1051, flags: FIN | ACK })
  script.time.run(10_000)
  assert.equal(script.ours.end, 'closed')
})

test('both may close at once', () => {
  const script = new Script().establish()
  script.connection.end()
  script.send({ flags: FIN | ACK })
  assert.equal(script.connection.state, 'CLOSING')
  script.sequence++
  script.acknowledgment++
  script.send({})
  assert.equal(script.connection.state, 'TIME-WAIT')
})

test('only an exact RST ends a connection; others and a SYN are answered', () => {
  const script = new Script().establish()
  script.send({ flags: RST, sequence: 1011 })
  script.send({ flags: SYN, sequence: 1001 })
  assert.equal(script.sketches(), 'A A')
  script.send({ flags: RST, sequence: 1000 + 2 ** 30 })
  assert.equal(script.sketches(), '')
  script.send({ flags: RST })
  assert.equal(script.ours.end, 'reset')
})

test('an acknowledgment of what was never sent is answered and otherwise ignored', () => {
  const script = new Script().establish()
  script.send({ acknowledgment: 9000, payload: pattern(5) })
  assert.equal(script.sketches(), 'A')
  assert.equal(script.ours.gotLength, 0)
})

test('breaking a connection off tells the peer', () => {
  const script = new Script().establish()
  script.connection.write(pattern(10))
  script.connection.abort()
  const last = script.take().at(-1)
  assert.deepEqual([last && sketch(last), last?.sequence], ['RA', 5011])
  assert.equal(script.connection.write(pattern(10)), true)
  assert.equal(script.sketches(), '')
})

test('the writer is told to wait, and when to go on', () => {
  const script = new Script().establish()
  assert.equal(script.connection.write(pattern(200_000)), true)
  assert.equal(script.connection.write(pattern(400_000)), false)
  while (script.ours.drains === 0) {
    const last = script.take().at(-1)
    assert.ok(last)
    script.acknowledgment = last.sequence + last.payload.length
    script.send({})
  }
  assert.ok(script.acknowledgment > 5001 + 300_000)
})

test('numbers go round at the end of 32 bits', () => {
  const time = new SimulatedTime()
  const ours = new Endpoint()
  const syn = { sequence: 0xffff_fff0, acknowledgment: 0, flags: SYN, window: 0xffff,
    payload: NO_BYTES }
  const connection = TcpConnection.accept(syn, 0xffff_fffb, 1460, time, ours)
  ours.connection = connection
  const rest = { acknowledgment: 0xffff_fffc, flags: ACK, window: 0xffff }
  connection.input({ ...rest, sequence: 0xffff_fff1, payload: pattern(100) })
  assert.equal(ours.gotLength, 100)
  connection.write(pattern(50))
  connection.input({ ...rest, sequence: 0x55, acknowledgment: 0x2e, payload: NO_BYTES })
  time.run(10_000)
  assert.equal(ours.sent.map(sketch).join(' '), 'SA A50')
})

test('segments survive being written and read; what is cut short is refused', () => {
  const segment: Segment = {
    sequence: 0xfedcba98, acknowledgment: 0x12345678, flags: SYN | ACK, window: 0xabcd,
    payload: pattern(7), largestSegment: 1460, windowScale: 7,
  }
  const bytes = new Uint8Array(5 + segmentLength(segment))
  writeSegment(bytes, 5, 80, 1024, segment)
  assert.deepEqual(readSegment(bytes, 5, bytes.length), segment)
  assert.equal(readSegment(bytes, 5, 24), undefined)
  assert.equal(readSegment(bytes, 5, 32), undefined)
})

test('no segment, however wild, breaks a connection\'s state', () => {
  const random = randomFrom(seed)
  for (let round = 0; round < 300; round++) {
    const script = new Script({ windowScale: 14, largestSegment: 1 }).establish()
    for (let i = 0; i < 60; i++) {
      const near = (base: number): number => random() < 0.7
        ? base + Math.floor(random() * 40 - 20) >>> 0 : Math.floor(random() * 2 ** 32)
      script.send({
        sequence: near(script.sequence), acknowledgment: near(script.acknowledgment),
        flags: Math.floor(random() * 256), window: Math.floor(random() * 0x10000),
        payload: pattern(Math.floor(random() * 30)),
      })
      if (random() < 0.3) script.connection.write(pattern(20))
      if (random() < 0.05) script.connection.end()
      if (random() < 0.2) script.time.run(random() * 3000)
    }
    script.time.run(3_600_000)
    assert.equal(script.time.pending, 0, `SEED=${seed}, round ${round}`)
  }
})
