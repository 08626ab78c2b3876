/**
 * Ports of Open vSwitch: the words that are said to ovs-vsctl, and frames on the wire.
 */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { BROADCAST, ethernet, type Frame, type MacAddress } from './frame.ts'
import { FrameReader, lengthPrefixed } from './frame-stream.ts'
import type { CommandResult } from './command.ts'
import { OpenVswitch } from './openvswitch.ts'
import type { StationWish } from './station.ts'

const MAC = 0x00163e000001 as MacAddress
const GROUP = 0x01005e000001 as MacAddress
const OK: CommandResult = { status: 0, output: '', errors: '' }
const DUMMY = { ...OK, output: 'dummy\n[bareudp, dummy, geneve, vxlan]\n' }
const KERNEL = { ...OK, output: 'system\n[dummy]\n' }

const WISH: StationWish = {
  script: 'vif-openvswitch', bridge: 'ovsbr0', device: 'vif1.0', mac: MAC, mtu: 1500,
  address: undefined, addresses: [], gatewayDevice: undefined, forwards: [], capture: undefined,
  owner: { name: 'a "b"', uuid: '1-2' }, domid: 1, devid: 0,
}

/** An Open vSwitch that answers `answers`, a command each, and then that all is well. */
class Rig {
  readonly said: string[] = []
  readonly sent: Frame[] = []
  readonly warnings: string[] = []
  readonly #timers: (() => void)[] = []
  receive: (frame: Frame) => void = () => {}
  isWireOpen = false
  /** Why there can be no TAP device. */
  tapRefused: string | undefined = 'no TAP'
  readonly ovs: OpenVswitch

  constructor(
    answers: readonly (CommandResult | undefined)[] = [DUMMY], connected = Promise.resolve(),
  ) {
    const left = [...answers]
    this.ovs = new OpenVswitch({
      run: async (program, words) => {
        this.said.push([program, ...words].join(' '))
        await turn()
        return left.length > 0 ? left.shift() : OK
      },
      listenForFrames: async (name, receive) => {
        this.receive = receive
        this.isWireOpen = true
        return {
          path: `/run/${name}`, connected, send: (frame) => void this.sent.push(frame),
          close: () => void (this.isWireOpen = false),
        }
      },
      openTap: (name, receive) => {
        if (this.tapRefused !== undefined) throw new Error(this.tapRefused)
        this.said.push(`tap ${name}`)
        this.receive = receive
        this.isWireOpen = true
        return {
          send: (frame) => void this.sent.push(frame),
          close: () => void (this.isWireOpen = false),
        }
      },
      delay: (_, work) => {
        this.#timers.push(work)
        return () => {}
      },
      log: { warn: (message) => void this.warnings.push(message) },
      wallClockMs: () => 0,
      openCapture: () => assert.fail('nothing is captured'),
    })
  }

  timeOut(): void {
    for (const work of this.#timers) work()
  }
}

const PORT = 'ovs-vsctl --timeout=30 -- --if-exists del-port vif1.0 -- add-port ovsbr0 vif1.0'

const places: readonly [string, string][] = [
  ['ovsbr0', ''], ['ovsbr0.10', ' tag=10'], ['ovsbr0:20', ' trunks=20'],
  ['ovsbr0.10:20:30', ' tag=10 trunks=20,30'],
]

for (const [bridge, words] of places) {
  test(`a port on ${bridge} is added${words}`, async () => {
    const rig = new Rig()
    await rig.ovs.station({ ...WISH, bridge })
    assert.ok(rig.said[1]?.startsWith(`${PORT}${words} -- set interface vif1.0 type=dummy `))
  })
}

test('a port names its guest, its wire and its size, and goes with its interface', async () => {
  const rig = new Rig()
  const station = await rig.ovs.station(WISH)
  for (const words of ['options:stream="unix:/run/vif1.0"', 'mtu_request=1500',
    'external-ids:xen-vm-name="a \\"b\\""', 'external-ids:xen-vm-uuid="1-2"',
    'external-ids:attached-mac="00:16:3e:00:00:01"']) {
    assert.ok(rig.said[1]?.includes(words), words)
  }
  station.close()
  await rig.ovs.settled()
  assert.equal(rig.said[2], 'ovs-vsctl --timeout=30 -- --if-exists del-port vif1.0')
  assert.equal(rig.isWireOpen, false)
})

test('a port whose name comes again is removed first', async () => {
  const rig = new Rig([DUMMY, OK, OK, DUMMY])
  const station = await rig.ovs.station(WISH)
  station.close()
  await rig.ovs.station(WISH)
  assert.deepEqual(rig.said.map((line) => / (get|add-port|del-port vif1.0$)/.exec(line)?.[1]),
    ['get', 'add-port', 'del-port vif1.0', 'get', 'add-port'])
})

test('a bridge of the kernel gets a TAP device, which is brought up', async () => {
  const rig = new Rig([KERNEL])
  rig.tapRefused = undefined
  const station = await rig.ovs.station(WISH)
  assert.equal(rig.said[1], 'tap vif1.0')
  assert.ok(rig.said[2]?.startsWith(`${PORT} -- set interface vif1.0 mtu_request=1500 -- `))
  assert.match(rig.said[3] ?? '', /^ip link set vif1.0 address fe:ff:ff:ff:ff:ff .* up$/)
  station.close()
  await rig.ovs.settled()
  assert.match(rig.said[4] ?? '', /del-port vif1.0$/)
  assert.equal(rig.isWireOpen, false)
})

const refusals: readonly [string, Partial<StationWish>, (CommandResult | undefined)[], RegExp][] = [
  ['no ovs-vsctl', {}, [undefined], /^Unable to find ovs-vsctl tool$/],
  ['a bridge that is not there', {}, [{ status: 1, output: '', errors: 'ovs-vsctl: no row' }],
    /^ovs-vsctl: no row$/],
  ['a bridge of the kernel without TAP devices', {}, [KERNEL], /^no TAP$/],
  ['a switch without streams or TAP', {}, [{ ...OK, output: 'netdev\n[vxlan]\n' }], /^no TAP$/],
  ['a name with two VLANs', { bridge: 'ovsbr0.1.2' }, [], /No valid bridge/],
  ['a device like an option', { device: '--x' }, [], /"--x" cannot be a device's name/],
  ['forwarded ports', { forwards: [{ protocol: 'tcp', hostPort: 1, guestPort: 2 }] }, [],
    /built-in bridge only/],
  ['a port that cannot be added', {}, [DUMMY, { status: 1, output: '', errors: 'full' }], /^full$/],
]

for (const [name, wish, answers, message] of refusals) {
  test(`${name} is refused`, async () => {
    const rig = new Rig(answers)
    await assert.rejects(rig.ovs.station({ ...WISH, ...wish }), { name: 'NetworkError', message })
    assert.equal(rig.isWireOpen, false)
  })
}

test('a switch that does not connect in time is given up, and its port removed', async () => {
  const rig = new Rig([DUMMY], new Promise(() => {}))
  const refused = assert.rejects(rig.ovs.station(WISH), /does not connect to \/run\/vif1.0/)
  for (let i = 0; i < 10; i++) await turn()
  rig.timeOut()
  await refused
  await rig.ovs.settled()
  assert.match(rig.said.at(-1) ?? '', /del-port vif1.0$/)
})

test('frames go both ways; groups that were not asked for and long frames do not', async () => {
  const rig = new Rig()
  const station = await rig.ovs.station(WISH)
  const got: Frame[] = []
  const port = station.attach({ mtu: 1500 }, (frame) => void got.push(frame))
  const to = (mac: MacAddress, size: number): Uint8Array =>
    ethernet(mac, MAC, 0x88b5, new Uint8Array(size))
  port.send({ bytes: to(BROADCAST, 46) })
  port.send({ bytes: to(BROADCAST, 1600) })
  assert.deepEqual(rig.sent, [{ bytes: to(BROADCAST, 46) }])
  rig.receive({ bytes: to(GROUP, 46) })
  port.controlMulticast()
  for (const frame of [to(GROUP, 47), to(MAC, 48), to(MAC, 1600), new Uint8Array(3)]) {
    rig.receive({ bytes: frame })
  }
  assert.deepEqual(got.map(({ bytes }) => bytes.length), [60, 62])
  port.close()
  rig.receive({ bytes: to(MAC, 48) })
  assert.equal(got.length, 2)
})

test('frames come out of a stream as they went in, however it is cut', () => {
  fc.assert(fc.property(
    fc.array(fc.uint8Array({ minLength: 14, maxLength: 80 })), fc.integer({ min: 1, max: 50 }),
    (frames, size) => {
      const bytes = Buffer.concat(frames.map((frame) => lengthPrefixed(frame)!))
      const reader = new FrameReader()
      const got: Uint8Array[] = []
      for (let at = 0; at < bytes.length; at += size) {
        assert.ok(reader.take(bytes.subarray(at, at + size), (frame) => void got.push(frame)))
      }
      assert.deepEqual(got.map((frame) => [...frame]), frames.map((frame) => [...frame]))
    }))
})

test('a stream of anything else is refused; a frame too long for its length is not sent', () => {
  assert.equal(new FrameReader().take(Uint8Array.of(0, 13, 1), () => assert.fail()), false)
  assert.equal(lengthPrefixed(new Uint8Array(65_536)), undefined)
})
