/**
 * Network interfaces in the store, compared with what libxl 4.17 was seen to write.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NetDriver } from '../../backends/net/driver.ts'
import { silentLog } from '../../base/log.ts'
import type { Bridge, Station, StationWish } from '../../network/bridge.ts'
import { Switch } from '../../network/switch.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { defaultQuota } from '../../xenstore/operations.ts'
import { formatPermission } from '../../xenstore/permissions.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import type { VifSpec } from '../config/vif.ts'
import { FakeControl } from './fake-control.ts'
import { LibxlError } from './libxl.ts'
import { Vifs } from './vif-life.ts'

const DOMID = 1
const HOME = '/local/domain/1'

class House {
  readonly store = new LocalClient(new Xenstored(defaultQuota, silentLog))
  readonly stations: StationWish[] = []
  readonly timers: (() => void)[] = []
  readonly vifs: Vifs
  closed = 0

  constructor() {
    const network = new Switch(() => 0)
    const bridge = {
      station: (wish: StationWish): Station => {
        this.stations.push(wish)
        return {
          attach: (options, deliver) => network.attach(options, deliver),
          close: () => void this.closed++,
        }
      },
    } as unknown as Bridge
    const delay = (_ms: number, work: () => void) => {
      this.timers.push(work)
      return () => void this.timers.splice(this.timers.indexOf(work) >>> 0, 1)
    }
    const control = new FakeControl()
    control.xenctrl.createDomain({ handle: new Uint8Array(16), flags: 0, maxVcpus: 1 })
    new NetDriver(this.store, { control, now: () => 0, schedule: () => {}, delay },
      new Map([['xenbr0', bridge]]), silentLog)
    this.vifs = new Vifs(this.store, { random: () => Uint8Array.of(0xff, 2, 3), delay })
    this.store.mkdir(`${HOME}/device`)
    this.store.setPermissions(`${HOME}/device`,
      [{ domid: 0, access: 0 }, { domid: DOMID, access: 1 }])
  }

  /** What is at and below `path`, with permissions, as xenstore-ls -fp has it. */
  listing(path: string): string[] {
    const who = this.store.permissions(path).map(formatPermission).join(',')
    const below = this.store.directory(path).sort().flatMap((name) =>
      this.listing(`${path}/${name}`))
    return [`${path} = "${this.store.read(path)}" (${who})`, ...below]
  }
}

test('an interface has libxl\'s nodes, with its permissions', () => {
  const house = new House()
  house.vifs.attach(DOMID, { mac: '00:16:3e:00:00:01', bridge: 'xenbr0', script: 'vif-min' })
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

test('what is left open is chosen: address, number, bridge', () => {
  const house = new House()
  assert.deepEqual(house.vifs.attach(DOMID, {}), { devid: 0, mac: '00:16:3e:7f:02:03' })
  house.vifs.attach(DOMID, { devid: 5 })
  assert.equal(house.vifs.attach(DOMID, {}).devid, 1)
  assert.deepEqual(house.vifs.list(DOMID).map(({ devid }) => devid), [0, 1, 5])
  const [first] = house.vifs.list(DOMID)
  assert.deepEqual([first?.handle, first?.state, first?.eventChannel, first?.transmitRing],
    [0, 1, -1, -1])
})

test('rate, address and forwarded ports reach the bridge', () => {
  const house = new House()
  house.vifs.attach(DOMID, {
    ip: '10.0.2.20', rate: { bytes: 5, intervalUs: 7 }, forwards: ['tcp:8080:80', 'udp:53:53'],
  })
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/rate'), '5,7')
  assert.deepEqual(house.stations[0]?.forwards, [
    { protocol: 'tcp', hostPort: 8080, guestPort: 80 },
    { protocol: 'udp', hostPort: 53, guestPort: 53 },
  ])
  assert.equal(house.stations[0]?.address, 0x0a000214)
})

const refusals: readonly [string, VifSpec, RegExp][] = [
  ['a bridge that is not there', { bridge: 'br9' }, /there is no bridge "br9"/],
  ['a back-end in another domain', { backend: 'driver' }, /only the control domain serves/],
]

for (const [name, vif, message] of refusals) {
  test(`${name} is refused, and leaves nothing`, () => {
    const house = new House()
    assert.throws(() => house.vifs.attach(DOMID, vif), (error) =>
      error instanceof LibxlError && message.test(error.message))
    assert.equal(house.store.read(`${HOME}/device/vif`), undefined)
    assert.equal(house.store.read('/local/domain/0/backend/vif'), undefined)
  })
}

test('a number that is taken is refused, and the device stays', () => {
  const house = new House()
  house.vifs.attach(DOMID, {})
  assert.throws(() => house.vifs.attach(DOMID, { devid: 0 }), /device already exists in xenstore/)
  assert.equal(house.vifs.list(DOMID).length, 1)
})

test('detaching waits for the back-end, which closes at once without a front-end', async () => {
  const house = new House()
  house.vifs.attach(DOMID, { mac: '00:16:3e:00:00:09' })
  assert.equal(await house.vifs.detach(DOMID, '7'), undefined)
  assert.equal(await house.vifs.detach(DOMID, '00:16:3E:00:00:09'), 0)
  assert.deepEqual(house.vifs.list(DOMID), [])
  assert.deepEqual([house.closed, house.timers.length], [1, 0])
  assert.equal(house.store.read(`${HOME}/device/vif`), undefined)
})

test('a front-end that does not let go loses its interface after a while', async () => {
  const house = new House()
  house.vifs.attach(DOMID, {})
  const front = `${HOME}/device/vif/0`
  for (const name of ['tx-ring-ref', 'rx-ring-ref', 'event-channel', 'request-rx-copy']) {
    house.store.write(`${front}/${name}`, '1')
  }
  house.store.write(`${front}/state`, '4')
  const detached = house.vifs.detach(DOMID, '0')
  assert.equal(house.store.read('/local/domain/0/backend/vif/1/0/state'), '5')
  house.timers.shift()?.()
  assert.equal(await detached, 0)
  assert.deepEqual([house.closed, house.vifs.list(DOMID).length], [1, 0])
})

test('a domain that is torn down leaves none', () => {
  const house = new House()
  house.vifs.attach(DOMID, {})
  house.vifs.attach(DOMID, {})
  house.vifs.removeAll(DOMID)
  assert.equal(house.closed, 2)
  assert.equal(house.store.read('/local/domain/0/backend/vif'), undefined)
})
