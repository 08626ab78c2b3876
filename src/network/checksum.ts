/**
 * The Internet checksum (RFC 1071) and where the transports of IP keep theirs.
 */
import { ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, u16At } from './frame.ts'

export const PROTOCOL_ICMP = 1
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17

/** The sum of 16-bit words from `start` to `end`, added to `sum`, not yet folded. */
export function sumWords(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  const even = start + (end - start & ~1)
  for (let i = start; i < even; i += 2) sum += bytes[i]! << 8 | bytes[i + 1]!
  if (even < end) sum += bytes[even]! << 8
  return sum
}

/** Folds a sum to 16 bits, with end-around carry. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = Math.floor(sum / 0x1_0000) + sum % 0x1_0000
  return sum
}

/** The checksum of a range: the complement of its sum. */
export function checksum(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  return ~fold(sumWords(bytes, start, end, sum)) & 0xffff
}

/** Where the parts of an IP frame lie; `end` is where IP says that it ends. */
export interface IpPlaces {
  readonly version: 4 | 6
  readonly ip: number
  readonly transport: number
  readonly end: number
  readonly protocol: number
}

const IPV6_HEADER = 40
const IPV4_MIN_HEADER = 20
const FRAGMENT_BITS = 0x3fff

/**
 * The places of an unfragmented IP packet in a frame, tagged or not; undefined for anything else
 * and for what is cut short. IPv6 with extension headers is left alone.
 */
export function ipPlaces(bytes: Uint8Array): IpPlaces | undefined {
  let ip = ETHERNET_HEADER
  let type = u16At(bytes, 12)
  if (type === ETHERTYPE_VLAN) {
    type = u16At(bytes, 16)
    ip += 4
  }
  if (type === ETHERTYPE_IPV4) {
    const header = ((bytes[ip] ?? 0) & 15) * 4
    const end = ip + u16At(bytes, ip + 2)
    if ((bytes[ip] ?? 0) >> 4 !== 4 || header < IPV4_MIN_HEADER) return undefined
    if (end > bytes.length || ip + header > end) return undefined
    if (u16At(bytes, ip + 6) & FRAGMENT_BITS) return undefined
    return { version: 4, ip, transport: ip + header, end, protocol: bytes[ip + 9] ?? 0 }
  }
  if (type === ETHERTYPE_IPV6) {
    const end = ip + IPV6_HEADER + u16At(bytes, ip + 4)
    if ((bytes[ip] ?? 0) >> 4 !== 6 || end > bytes.length) return undefined
    return { version: 6, ip, transport: ip + IPV6_HEADER, end, protocol: bytes[ip + 6] ?? 0 }
  }
  return undefined
}

/** The sum of the pseudo header for a transport of `length` bytes. */
export function pseudoSum(bytes: Uint8Array, places: IpPlaces, length: number): number {
  const { version, ip, protocol } = places
  const addresses = version === 4 ? ip + 12 : ip + 8
  const sum = sumWords(bytes, addresses, addresses + (version === 4 ? 8 : 32))
  return sum + protocol + fold(length)
}

/** Where a transport's checksum lies from its start; undefined when it is not one of ours. */
export function checksumOffset(protocol: number): number | undefined {
  if (protocol === PROTOCOL_TCP) return 16
  return protocol === PROTOCOL_UDP ? 6 : undefined
}
