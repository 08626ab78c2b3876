/**
 * The switch: who gets which frame.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BROADCAST, ethernet, formatMac, type Frame, type MacAddress, parseMac, putU16 } from
  './frame.ts'
import { pcapngPacket, pcapngStart } from './pcapng.ts'
import { type PortOptions, Switch, type SwitchPort } from './switch.ts'

const mac = (n: number): MacAddress => (0x00163e000000 + n) as MacAddress
const group = (n: number): MacAddress => (0x01005e000000 + n) as MacAddress
const LOCAL_EXPERIMENT = 0x88b5

class Station {
  readonly got: Frame[] = []
  readonly port: SwitchPort
  readonly mac: MacAddress

  constructor(network: Switch, n: number, options: PortOptions = {}) {
    this.mac = mac(n)
    this.port = network.attach(options, (frame) => void this.got.push(frame))
  }

  send(to: MacAddress, size = 50, from = this.mac): void {
    this.port.send({ bytes: ethernet(to, from, LOCAL_EXPERIMENT, new Uint8Array(size)) })
  }

  sendTagged(to: MacAddress, vlan: number): void {
    const payload = new Uint8Array(50)
    putU16(payload, 0, vlan)
    putU16(payload, 2, LOCAL_EXPERIMENT)
    this.port.send({ bytes: ethernet(to, this.mac, 0x8100, payload) })
  }

  /** How many frames came since the last time. */
  take(): number {
    return this.got.splice(0).length
  }
}

function network(count: number, options: PortOptions[] = []) {
  const time = { ms: 0 }
  const bridge = new Switch(() => time.ms)
  const stations = Array.from({ length: count }, (_, i) =>
    new Station(bridge, i + 1, options[i] ?? {}))
  return { bridge, time, stations: stations as [Station, Station, Station, Station] }
}

test('a frame to an unknown address goes to all others, to a known one only there', () => {
  const { stations: [a, b, c] } = network(3)
  a.send(b.mac)
  assert.deepEqual([a.take(), b.take(), c.take()], [0, 1, 1])
  b.send(a.mac)
  a.send(b.mac)
  assert.deepEqual([a.take(), b.take(), c.take()], [1, 1, 0])
})

test('an address is where it was last seen, and is forgotten after five minutes', () => {
  const { stations: [a, b, c], time } = network(3)
  b.send(BROADCAST)
  c.send(BROADCAST, 50, b.mac)
  for (const station of [a, b, c]) station.take()
  a.send(b.mac)
  assert.deepEqual([b.take(), c.take()], [0, 1])
  time.ms = 300_001
  a.send(b.mac)
  assert.deepEqual([b.take(), c.take()], [1, 1])
})

test('a port that closes gets nothing, sends nothing and is forgotten', () => {
  const { bridge, stations: [a, b, c] } = network(3)
  b.send(BROADCAST)
  a.take()
  c.take()
  b.port.close()
  assert.equal(bridge.addressCount, 0)
  b.send(a.mac)
  a.send(b.mac)
  assert.deepEqual([a.take(), b.take(), c.take()], [0, 0, 1])
})

test('one port cannot fill the table of addresses', () => {
  const { bridge, stations: [a, b] } = network(2)
  b.send(BROADCAST)
  for (let i = 0; i < 10_000; i++) a.send(BROADCAST, 50, mac(1000 + i))
  assert.equal(bridge.addressCount, 65)
  a.take()
  a.send(b.mac)
  b.take()
  b.send(mac(10_999))
  assert.equal(a.take(), 1)
})

test('multicast goes to all, until a port says which groups it wants', () => {
  const { stations: [a, b, c] } = network(3)
  b.port.controlMulticast()
  assert.equal(b.port.addGroup(group(1)), true)
  a.send(group(1))
  a.send(group(2))
  a.send(BROADCAST)
  assert.deepEqual([b.take(), c.take()], [2, 3])
  b.port.removeGroup(group(1))
  a.send(group(1))
  assert.deepEqual([b.take(), c.take()], [0, 1])
  for (let i = 0; i < 64; i++) assert.equal(b.port.addGroup(group(i)), true)
  assert.equal(b.port.addGroup(group(64)), false)
  assert.equal(b.port.addGroup(group(3)), true)
})

test('access ports see only their VLAN, trunks see theirs with tags', () => {
  const { stations } = network(4, [{ vlan: 10 }, { vlan: 20 }, { trunks: [10, 20] }, { vlan: 10 }])
  const [ten, twenty, trunk, other] = stations
  ten.send(BROADCAST)
  assert.deepEqual([twenty.take(), other.take()], [0, 1])
  assert.equal(trunk.got[0]?.bytes.subarray(12, 16).join(), '129,0,0,10')
  assert.equal(trunk.take(), 1)
  trunk.sendTagged(BROADCAST, 20)
  assert.equal(twenty.got[0]?.bytes[12], 0x88)
  assert.deepEqual([ten.take(), twenty.take(), other.take()], [0, 1, 0])
  // A tag that the port has no right to, and one on an access port.
  trunk.sendTagged(BROADCAST, 30)
  ten.sendTagged(BROADCAST, 20)
  assert.deepEqual([ten.take(), twenty.take(), trunk.take()], [0, 0, 0])
})

test('frames above a port\'s MTU neither enter nor leave, unless they will be cut', () => {
  const { stations: [a, b, c] } = network(3, [{}, { mtu: 1500 }])
  a.send(BROADCAST, 1505)
  assert.deepEqual([b.take(), c.take()], [0, 1])
  a.send(BROADCAST, 1504)
  assert.equal(b.take(), 1)
  b.send(BROADCAST, 1505)
  assert.deepEqual([a.take()], [0])
  const bytes = ethernet(b.mac, a.mac, 0x0800, new Uint8Array(9000))
  a.port.send({ bytes, segmentSize: 1460 })
  assert.equal(b.take(), 1)
})

test('frames that are too short or come from a group are dropped', () => {
  const { stations: [a, b] } = network(2)
  a.port.send({ bytes: new Uint8Array(13) })
  a.send(BROADCAST, 50, group(1))
  assert.equal(b.take(), 0)
})

test('addresses are read and printed as Xen prints them', () => {
  assert.equal(parseMac('00:16:3E:0:0:1'), mac(1))
  assert.equal(formatMac(mac(0xabcdef)), '00:16:3e:ab:cd:ef')
  for (const bad of ['', '00:16:3e:00:00', '00:16:3e:00:00:01:02', '0g:16:3e:00:00:01', '1-2']) {
    assert.equal(parseMac(bad), undefined)
  }
})

const tshark = spawnSync('tshark', ['--version']).status === 0

test('tshark reads what a port\'s mirror sees', { skip: !tshark && 'there is no tshark' }, () => {
  const parts = [pcapngStart(96)]
  const mirror = (bytes: Uint8Array): void =>
    void parts.push(pcapngPacket(bytes, 1_795_375_541_230.5, 96))
  const { stations: [a, b, c] } = network(3, [{ mirror }])
  a.send(BROADCAST, 46)
  b.send(a.mac, 200)
  c.send(b.mac, 100)
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-pcapng-'))
  try {
    const file = join(folder, 'mirror.pcapng')
    writeFileSync(file, Buffer.concat(parts))
    const fields = ['eth.src', 'eth.dst', 'frame.len', 'frame.cap_len', 'frame.time_epoch']
    const run = spawnSync('tshark',
      ['-r', file, '-T', 'fields', ...fields.flatMap((name) => ['-e', name])])
    assert.equal(run.status, 0, run.stderr.toString())
    assert.equal(run.stdout.toString(),
      '00:16:3e:00:00:01\tff:ff:ff:ff:ff:ff\t60\t60\t1795375541.230500000\n' +
      '00:16:3e:00:00:02\t00:16:3e:00:00:01\t214\t96\t1795375541.230500000\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
