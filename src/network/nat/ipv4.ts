/**
 * IPv4 addresses and headers (RFC 791).
 */
import { checksum } from '../checksum.ts'
import { ETHERNET_HEADER, ETHERTYPE_IPV4, type MacAddress, putMac, putU16, putU32 } from
  '../frame.ts'

/** An IPv4 address as a number of 32 bits. */
export type Ipv4Address = number & { readonly space: 'ipv4' }

export const ANY = 0 as Ipv4Address
export const LIMITED_BROADCAST = 0xffff_ffff as Ipv4Address
export const IPV4_HEADER = 20
/** Where the payload begins in the frames we make. */
export const PAYLOAD = ETHERNET_HEADER + IPV4_HEADER

const TIME_TO_LIVE = 64
const DONT_FRAGMENT = 0x4000

export function parseIpv4(text: string): Ipv4Address | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && +part < 256)) {
    return undefined
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0) as Ipv4Address
}

export function formatIpv4(address: Ipv4Address): string {
  return [24, 16, 8, 0].map((shift) => address >>> shift & 255).join('.')
}

/** A frame with an IPv4 packet whose payload of `length` bytes is still to be written. */
export function ipv4Frame(
  macs: { readonly to: MacAddress, readonly from: MacAddress },
  packet: { readonly from: Ipv4Address, readonly to: Ipv4Address, readonly protocol: number },
  length: number,
): Uint8Array {
  const bytes = new Uint8Array(PAYLOAD + length)
  putMac(bytes, 0, macs.to)
  putMac(bytes, 6, macs.from)
  putU16(bytes, 12, ETHERTYPE_IPV4)
  const at = ETHERNET_HEADER
  bytes[at] = 0x45
  putU16(bytes, at + 2, IPV4_HEADER + length)
  putU16(bytes, at + 6, DONT_FRAGMENT)
  bytes[at + 8] = TIME_TO_LIVE
  bytes[at + 9] = packet.protocol
  putU32(bytes, at + 12, packet.from)
  putU32(bytes, at + 16, packet.to)
  putU16(bytes, at + 10, checksum(bytes, at, at + IPV4_HEADER))
  return bytes
}
