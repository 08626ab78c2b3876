/**
 * DHCP: who is given which address.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type MacAddress, putMac, putU32, u32At } from '../frame.ts'
import { FakeGuest, ip } from './fake-guest.ts'
import { formatIpv4, type Ipv4Address } from './ipv4.ts'

/** A DHCP message of a client. */
function dhcp(type: number, mac: MacAddress, options: number[] = [], own = 0): Uint8Array {
  const bytes = new Uint8Array(300)
  bytes.set([1, 1, 6, 0, 1, 2, 3, 4])
  putU32(bytes, 12, own)
  putMac(bytes, 28, mac)
  putU32(bytes, 236, 0x63825363)
  bytes.set([53, 1, type, ...options, 255], 240)
  return bytes
}

/** Has a conversation about an address; "2 10.0.2.15" is type and offered address. */
function ask(guest: FakeGuest, message: Uint8Array): string[] {
  guest.sendUdp(ip('255.255.255.255'), 67, message, ip('0.0.0.0'))
  // The station's frames go to the gateway's Ethernet address, as broadcasts would.
  return guest.take().map((bytes) =>
    `${bytes[42 + 242]} ${formatIpv4(u32At(bytes, 42 + 16) as Ipv4Address)}`)
}

const wish = (option: number, address: string): number[] =>
  [option, 4, ...address.split('.').map(Number)]

test('DHCP offers an address and gives it, and the same one again', () => {
  const guest = new FakeGuest()
  assert.deepEqual(ask(guest, dhcp(1, guest.mac)), ['2 10.0.2.15'])
  const request = dhcp(3, guest.mac, [...wish(54, '10.0.2.2'), ...wish(50, '10.0.2.15')])
  assert.deepEqual(ask(guest, request), ['5 10.0.2.15'])
  assert.deepEqual(ask(guest, dhcp(3, guest.mac, [], ip('10.0.2.15'))), ['5 10.0.2.15'])
  assert.deepEqual(ask(guest, dhcp(1, guest.mac + 1 as MacAddress)), ['2 10.0.2.16'])
  assert.equal(guest.nat.addressOf(guest.mac), ip('10.0.2.15'))
})

test('DHCP refuses an address that is not the guest\'s, and is silent for another server', () => {
  const guest = new FakeGuest()
  assert.deepEqual(ask(guest, dhcp(3, guest.mac, wish(50, '10.0.2.99'))), ['6 0.0.0.0'])
  const other = dhcp(3, guest.mac, [...wish(54, '10.0.2.9'), ...wish(50, '10.0.2.15')])
  assert.deepEqual(ask(guest, other), [])
})

test('DHCP keeps reserved addresses for their owner, and grants wishes', () => {
  const guest = new FakeGuest()
  guest.nat.reserve(guest.mac, ip('10.0.2.16'))
  const other = guest.mac + 1 as MacAddress
  assert.deepEqual(ask(guest, dhcp(1, other, wish(50, '10.0.2.16'))), ['2 10.0.2.15'])
  assert.deepEqual(ask(guest, dhcp(1, guest.mac)), ['2 10.0.2.16'])
  assert.deepEqual(ask(guest, dhcp(1, other + 1 as MacAddress, wish(50, '10.0.2.17'))),
    ['2 10.0.2.17'])
  guest.nat.reserve(guest.mac, ip('10.0.3.3'))
  assert.equal(guest.nat.addressOf(guest.mac), ip('10.0.2.16'))
})

test('when all addresses are taken, the guest that asked longest ago loses its own', () => {
  const guest = new FakeGuest()
  for (const [i, address] of ['15', '16', '17', '15'].entries()) {
    assert.deepEqual(ask(guest, dhcp(1, guest.mac + i as MacAddress)), [`2 10.0.2.${address}`])
  }
  assert.deepEqual(ask(guest, dhcp(7, guest.mac + 2 as MacAddress)), [])
  assert.deepEqual(ask(guest, dhcp(1, guest.mac + 9 as MacAddress)), ['2 10.0.2.17'])
})

test('DHCP tells of mask, router, resolver, MTU and what to boot', () => {
  const guest = new FakeGuest({ bootFile: 'pxelinux.0' })
  guest.sendUdp(ip('255.255.255.255'), 67, dhcp(8, guest.mac, [], ip('10.0.2.40')), ip('0.0.0.0'))
  const [reply] = guest.take()
  const options = Buffer.from(reply!.subarray(42 + 240)).toString('hex')
  for (const option of ['0104ffffff00', '03040a000202', '06040a000203', '1a0205dc',
    '430a7078656c696e75782e30', '36040a000202']) {
    assert.ok(options.includes(option), option)
  }
  assert.equal(Buffer.from(reply!.subarray(42 + 108, 42 + 118)).toString(), 'pxelinux.0')
  assert.equal(formatIpv4(u32At(reply!, 30) as Ipv4Address), '10.0.2.40')
})
