/**
 * Interfaces that the host routes to: what is said to ip(8), and what is refused.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MacAddress } from './frame.ts'
import { type HostRouteHost, stationOnHostNat, stationOnHostRoute } from './host-route.ts'
import { NetworkError, type StationWish } from './station.ts'

const WISH: StationWish = {
  script: 'vif-route', bridge: 'xenbr0', device: 'vif1.0', mac: 0x00163e000001 as MacAddress,
  mtu: 1400, address: undefined, addresses: ['10.1.0.2', '10.2.0.0/24'], gatewayDevice: 'eth1',
  forwards: [], capture: undefined, owner: { name: 'a', uuid: '1' },
  domid: 258, devid: 1,
}
const OWN = '2: eth1    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth1\n'

/** A host on which the command that `fails` names does; what was run there. */
function rig(fails = 'nothing') {
  const said: string[] = []
  let isOpen = false
  const host = {
    run: async (program: string, words: readonly string[]) => {
      const line = [program, ...words].join(' ')
      said.push(line)
      return line.includes(fails) ? { status: 2, output: '', errors: 'not so' }
        : { status: 0, output: line.includes('show') ? OWN : '', errors: '' }
    },
    openTap: (name: string) => {
      said.push(`tap ${name}`)
      isOpen = true
      return { send: () => {}, close: () => void (isOpen = false) }
    },
  } as unknown as HostRouteHost
  return { host, said, isOpen: () => isOpen }
}

test('a device has the gateway\'s own address, and the guest\'s addresses lead there', async () => {
  const { host, said, isOpen } = rig()
  const station = await stationOnHostRoute(host, WISH)
  assert.deepEqual(said, [
    'ip -4 -o addr show primary dev eth1',
    'tap vif1.0',
    'ip link set vif1.0 mtu 1400 up',
    'ip addr add 192.0.2.7/32 dev vif1.0',
    'sysctl -q -w net/ipv4/conf/vif1.0/proxy_arp=1',
    'ip route add 10.1.0.2 dev vif1.0 src 192.0.2.7 metric 2',
    'ip route add 10.2.0.0/24 dev vif1.0 src 192.0.2.7 metric 2',
  ])
  station.close()
  assert.equal(isOpen(), false)
})

test('without a device of the gateway\'s it is eth0', async () => {
  const { host, said } = rig()
  await stationOnHostRoute(host, { ...WISH, gatewayDevice: undefined })
  assert.equal(said[0], 'ip -4 -o addr show primary dev eth0')
})

test('vif-nat\'s device is the gateway of one address, which may follow from numbers', async () => {
  const wishes = [[{ addresses: [] }, '10.1.2.2'], [{ addresses: ['192.0.2.9/24'] }, '192.0.2.9']]
  for (const [wish, address] of wishes) {
    const { host, said } = rig()
    await stationOnHostNat(host, { ...WISH, ...wish as object })
    const gateway = address === '10.1.2.2' ? '10.1.2.129' : '192.0.2.136'
    assert.deepEqual(said, [
      'tap vif1.0',
      'ip link set vif1.0 mtu 1400 up',
      `ip addr add ${gateway} dev vif1.0`,
      'sysctl -q -w net/ipv4/conf/vif1.0/proxy_arp=1',
      `ip route add ${address} dev vif1.0 src ${gateway}`,
    ])
  }
  for (const addresses of [['10.0.0.129'], ['x'], ['10.0.0.1', '10.0.0.2']]) {
    const { host, said } = rig()
    await assert.rejects(stationOnHostNat(host, { ...WISH, addresses }), NetworkError)
    assert.deepEqual(said, [])
  }
})

test('what cannot be leaves no device behind', async () => {
  for (const fails of ['link set', 'addr add', 'sysctl', '10.2.0.0']) {
    const { host, isOpen } = rig(fails)
    await assert.rejects(stationOnHostRoute(host, WISH), new NetworkError('not so'))
    assert.equal(isOpen(), false)
  }
  for (const wish of [
    { addresses: ['-h'] }, { addresses: ['10.0.0.1;reboot'] }, { gatewayDevice: '-4' },
    { device: '--help' }, { forwards: [{ protocol: 'tcp', hostPort: 1, guestPort: 1 }] },
  ] as const) {
    const { host, said } = rig()
    await assert.rejects(stationOnHostRoute(host, { ...WISH, ...wish }), NetworkError)
    assert.ok(!said.some((line) => line.startsWith('tap')), said.join('\n'))
  }
})
