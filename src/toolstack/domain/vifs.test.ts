/**
 * Network interfaces in the store, compared with what libxl 4.17 was seen to write.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NetDriver } from '../../backends/net/driver.ts'
import { silentLog } from '../../base/log.ts'
import type { Bridge } from '../../network/bridge.ts'
import type { HostBridgeHost } from '../../network/host-bridge.ts'
import { HostNetworks } from '../../network/networks.ts'
import type { OpenVswitch } from '../../network/openvswitch.ts'
import { NetworkError, type Station, type StationWish } from '../../network/station.ts'
import { Switch } from '../../network/switch.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { defaultQuota } from '../../xenstore/operations.ts'
import { formatPermission } from '../../xenstore/permissions.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import type { VifSpec } from '../config/vif.ts'
import { Devices } from './devices.ts'
import { FakeControl, FakeHost } from './fake-control.ts'
import { LibxlError, type VifSummary } from './libxl.ts'

const DOMID = 1
const HOME = '/local/domain/1'

class House {
  readonly store = new LocalClient(new Xenstored(defaultQuota, silentLog))
  readonly stations: StationWish[] = []
  readonly host = new FakeHost()
  readonly devices: Devices
  /** What Open vSwitch says to the interfaces that are to be on it, in their order. */
  readonly plugging: { plugged(): void, refused(error: Error): void }[] = []
  closed = 0

  constructor() {
    const network = new Switch(() => 0)
    const station = (wish: StationWish): Station => {
      this.stations.push(wish)
      return {
        attach: (options, deliver) => network.attach(options, deliver),
        close: () => void this.closed++,
      }
    }
    const openVswitch = {
      station: (wish: StationWish) => new Promise((resolve, reject) => this.plugging.push({
        plugged: () => resolve(station(wish)), refused: reject,
      })),
    } as OpenVswitch
    const control = new FakeControl()
    control.xenctrl.createDomain({ handle: new Uint8Array(16), flags: 0, maxVcpus: 1 })
    new NetDriver(this.store, {
      control, now: () => 0, schedule: () => {}, delay: (ms, work) => this.host.delay(ms, work),
    },
      new HostNetworks(new Map([['xenbr0', { station } as unknown as Bridge]]), openVswitch,
        { run: async () => undefined } as unknown as HostBridgeHost), silentLog)
    this.host.random = () => Uint8Array.of(0xff, 2, 3)
    const { schedule } = this.host
    this.devices = new Devices(this.store, { control, schedule, warn: () => {} }, this.host)
    this.store.mkdir(`${HOME}/device`)
    this.store.setPermissions(`${HOME}/device`,
      [{ domid: 0, access: 0 }, { domid: DOMID, access: 1 }])
  }

  attach(vif: VifSpec): Promise<void> {
    return this.devices.attach('vifs', DOMID, vif, () => true)
  }

  detach(name: string): Promise<number | undefined> {
    return this.devices.detach('vifs', DOMID, name, false)
  }

  list(): VifSummary[] {
    return this.devices.list('vifs', DOMID)
  }

  /** What is at and below `path`, with permissions, as xenstore-ls -fp has it. */
  listing(path: string): string[] {
    const who = this.store.permissions(path).map(formatPermission).join(',')
    const below = this.store.directory(path).sort().flatMap((name) =>
      this.listing(`${path}/${name}`))
    return [`${path} = "${this.store.read(path)}" (${who})`, ...below]
  }
}

test('an interface has libxl\'s nodes, with its permissions', async () => {
  const house = new House()
  await house.attach({ mac: '00:16:3e:00:00:01', bridge: 'xenbr0', script: 'vif-min' })
  assert.deepEqual(house.listing(`/libxl/1/device/vif/0`), [
    '/libxl/1/device/vif/0 = "" (n0)',
    '/libxl/1/device/vif/0/backend = "/local/domain/0/backend/vif/1/0" (n0)',
    '/libxl/1/device/vif/0/bridge = "xenbr0" (n0)',
    '/libxl/1/device/vif/0/frontend = "/local/domain/1/device/vif/0" (n0)',
    '/libxl/1/device/vif/0/frontend-id = "1" (n0)',
    '/libxl/1/device/vif/0/handle = "0" (n0)',
    '/libxl/1/device/vif/0/hotplug-status = "" (n0)',
    '/libxl/1/device/vif/0/mac = "00:16:3e:00:00:01" (n0)',
    '/libxl/1/device/vif/0/online = "1" (n0)',
    '/libxl/1/device/vif/0/script = "/etc/xen/scripts/vif-min" (n0)',
    '/libxl/1/device/vif/0/state = "1" (n0)',
    '/libxl/1/device/vif/0/type = "vif" (n0)',
  ])
  assert.deepEqual(house.listing(`${HOME}/device/vif`), [
    `${HOME}/device/vif = "" (n0,r1)`,
    `${HOME}/device/vif/0 = "" (n1,r0)`,
    `${HOME}/device/vif/0/backend = "/local/domain/0/backend/vif/1/0" (n1,r0)`,
    `${HOME}/device/vif/0/backend-id = "0" (n1,r0)`,
    `${HOME}/device/vif/0/handle = "0" (n1,r0)`,
    `${HOME}/device/vif/0/mac = "00:16:3e:00:00:01" (n1,r0)`,
    `${HOME}/device/vif/0/mtu = "1500" (n0,r1)`,
    `${HOME}/device/vif/0/state = "1" (n1,r0)`,
    `${HOME}/device/vif/0/trusted = "1" (n1,r0)`,
  ])
  const back = house.listing('/local/domain/0/backend/vif/1/0')
  for (const line of ['hotplug-status = "connected"', 'state = "2"', 'online = "1"',
    'frontend-id = "1"', 'feature-sg = "1"', 'script = "/etc/xen/scripts/vif-min"']) {
    assert.ok(back.includes(`/local/domain/0/backend/vif/1/0/${line} (n0,r1)`), line)
  }
})

test('what is left open is chosen: address, number, bridge', async () => {
  const house = new House()
  await house.attach({})
  assert.deepEqual(house.devices.specs(DOMID).vifs?.[0], { devid: 0, mac: '00:16:3e:7f:02:03' })
  await house.attach({ devid: 5 })
  await house.attach({})
  assert.deepEqual(house.list().map(({ devid }) => devid), [0, 1, 5])
  const [first] = house.list()
  assert.deepEqual([first?.handle, first?.state, first?.eventChannel, first?.transmitRing],
    [0, 1, -1, -1])
})

test('rate, address, forwarded ports and capture reach the bridge', async () => {
  const house = new House()
  await house.attach({
    ip: '10.0.2.20', rate: { bytes: 5, intervalUs: 7 }, forwards: ['tcp:8080:80', 'udp:53:53'],
    capture: '/tmp/capture.pcapng',
  })
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/rate'), '5,7')
  assert.deepEqual(house.stations[0]?.forwards, [
    { protocol: 'tcp', hostPort: 8080, guestPort: 80 },
    { protocol: 'udp', hostPort: 53, guestPort: 53 },
  ])
  assert.equal(house.stations[0]?.address, 0x0a000214)
  assert.equal(house.stations[0]?.capture, '/tmp/capture.pcapng')
})

test('a driver domain owns the back-end\'s nodes, and nobody here serves them', async () => {
  const house = new House()
  house.store.write('/local/domain/7/name', 'driver')
  const back = '/local/domain/7/backend/vif/1/0'
  const attached = house.attach({ backend: 'driver' })
  await new Promise((resolve) => setTimeout(resolve, 0))
  assert.equal(house.listing(back)[0], `${back} = "" (n7,r1)`)
  assert.equal(house.store.read(`${back}/state`), '1')
  house.store.write(`${back}/state`, '2')
  await attached
  const front = house.listing(`${HOME}/device/vif/0`)
  assert.ok(front.includes(`${HOME}/device/vif/0/backend-id = "7" (n1,r7)`))
  assert.equal(house.stations.length, 0)
  const [summary] = house.list()
  assert.deepEqual([summary?.backendId, summary?.backend], [7, back])
  const another = house.attach({ backend: '7' })
  await new Promise((resolve) => setTimeout(resolve, 0))
  house.store.write('/local/domain/7/backend/vif/1/1/state', '2')
  await another
  house.store.remove('/local/domain/7')
  assert.equal(await house.detach('0'), 0)
  assert.deepEqual(house.list().map(({ devid }) => devid), [1])
})

test('an interface that its driver domain does not take up in time is refused', async () => {
  const house = new House()
  house.store.write('/local/domain/7/name', 'driver')
  const attached = house.attach({ backend: 'driver' })
  const refused = assert.rejects(attached,
    /Domain 1:unable to add vif device 0: domain 7 does not serve it/)
  await house.host.pass(0)
  await house.host.pass(9_000)
  assert.equal(house.list().length, 1)
  await house.host.pass(2_000)
  await refused
  assert.deepEqual(house.list(), [])
  assert.equal(house.store.read('/local/domain/7/backend'), undefined)
  const again = house.attach({ backend: 'driver' })
  const gone = assert.rejects(again, /does not serve it/)
  await house.host.pass(0)
  house.store.remove('/local/domain/7')
  await gone
})

const refusals: readonly [string, VifSpec, RegExp][] = [
  ['a bridge that is not there', { bridge: 'br9' }, /there is no bridge "br9"/],
  ['a back-end in a domain that is not there', { backend: 'driver' }, /no backend domain "driver"/],
]

for (const [name, vif, message] of refusals) {
  test(`${name} is refused, and leaves nothing`, async () => {
    const house = new House()
    await assert.rejects(house.attach(vif), (error) =>
      error instanceof LibxlError && message.test(error.message))
    assert.equal(house.store.read(`${HOME}/device/vif`), undefined)
    assert.equal(house.store.read('/local/domain/0/backend/vif'), undefined)
  })
}

test('a number that is taken is refused, and the device stays', async () => {
  const house = new House()
  await house.attach({})
  await assert.rejects(house.attach({ devid: 0 }), /device already exists in xenstore/)
  assert.equal(house.list().length, 1)
})

const ovs: VifSpec = { script: 'vif-openvswitch', bridge: 'ovsbr0.10', vifname: 'web0', mtu: 9000 }

test('an interface on Open vSwitch is there once that has it', async () => {
  const house = new House()
  house.store.write(`${HOME}/vm`, '/vm/7')
  house.store.write('/vm/7/name', 'web')
  let done = false
  const attached = house.attach(ovs).then(() => (done = true))
  await house.host.pass(100)
  assert.deepEqual([done, house.plugging.length], [false, 1])
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/hotplug-status'), '')
  house.plugging[0]!.plugged()
  await attached
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/hotplug-status'), 'connected')
  const { bridge, device, mtu, owner } = house.stations[0]!
  assert.deepEqual({ bridge, device, mtu, owner },
    { bridge: 'ovsbr0.10', device: 'web0', mtu: 9000, owner: { name: 'web', uuid: '' } })
  assert.equal(await house.detach('0'), 0)
  assert.equal(house.closed, 1)
})

test('an interface that Open vSwitch refuses, or never takes, leaves nothing', async () => {
  const house = new House()
  const refused = assert.rejects(house.attach(ovs), /unable to add vif device 0: no bridge/)
  await house.host.pass(0)
  house.plugging[0]!.refused(new NetworkError('no bridge'))
  await refused
  const late = assert.rejects(house.attach(ovs), /its script did not end in time/)
  await house.host.pass(0)
  await house.host.pass(40_000)
  await late
  assert.equal(house.store.read('/local/domain/0/backend/vif'), undefined)
  house.plugging[1]!.plugged()
  await house.host.pass(0)
  assert.deepEqual([house.closed, house.list()], [1, []])
})

test('detaching waits for the back-end, which closes at once without a front-end', async () => {
  const house = new House()
  await house.attach({ mac: '00:16:3e:00:00:09' })
  assert.equal(await house.detach('7'), undefined)
  assert.equal(await house.detach('00:16:3E:00:00:09'), 0)
  assert.deepEqual(house.list(), [])
  assert.deepEqual([house.closed, house.host.timers.size], [1, 0])
  assert.equal(house.store.read(`${HOME}/device/vif`), undefined)
})

test('a front-end that does not let go loses its interface after a while', async () => {
  const house = new House()
  await house.attach({})
  const front = `${HOME}/device/vif/0`
  for (const name of ['tx-ring-ref', 'rx-ring-ref', 'event-channel', 'request-rx-copy']) {
    house.store.write(`${front}/${name}`, '1')
  }
  house.store.write(`${front}/state`, '4')
  const detached = house.detach('0')
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/state'), '5')
  await house.host.pass(10_000)
  assert.equal(await detached, 0)
  assert.deepEqual([house.closed, house.list().length], [1, 0])
})

test('a domain that is torn down leaves none', async () => {
  const house = new House()
  await house.attach({})
  await house.attach({})
  house.devices.release(DOMID)
  assert.equal(house.closed, 2)
  assert.equal(house.store.read('/local/domain/0/backend/vif'), undefined)
})
