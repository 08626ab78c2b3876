/**
 * Ethernet frames as they travel between ports, with what a sender may leave to others.
 *
 * As between a Linux guest and its back-end, a frame may come with its transport checksum still to
 * be computed, and a TCP frame may be larger than any wire would take, to be cut on its way. What
 * cannot go further in that form passes through offload.ts first.
 */
/** A frame between ports. Nobody changes `bytes` once it has been sent. */
export interface Frame {
  /** From the destination address on, without the frame check sequence. */
  readonly bytes: Uint8Array
  /** The transport's checksum field holds the sum of the pseudo header only. */
  readonly checksumBlank?: boolean
  /** TCP whose payload is to be cut into so many bytes a segment. */
  readonly segmentSize?: number
}

/** One end of a cable: what is sent comes out at the other end, or is lost. */
export interface Port {
  send(frame: Frame): void
}

export const ETHERNET_HEADER = 14
export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806
export const ETHERTYPE_VLAN = 0x8100
export const ETHERTYPE_IPV6 = 0x86dd

/** An Ethernet address as a number of 48 bits. */
export type MacAddress = number & { readonly space: 'mac' }

export const BROADCAST = 0xffff_ffff_ffff as MacAddress

export function u16At(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0)
}

export function u32At(bytes: Uint8Array, at: number): number {
  return u16At(bytes, at) * 0x1_0000 + u16At(bytes, at + 2)
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value >>> 16)
  putU16(bytes, at + 2, value & 0xffff)
}

export function macAt(bytes: Uint8Array, at: number): MacAddress {
  return u16At(bytes, at) * 0x1_0000_0000 + u32At(bytes, at + 2) as MacAddress
}

export function putMac(bytes: Uint8Array, at: number, mac: MacAddress): void {
  putU16(bytes, at, Math.floor(mac / 0x1_0000_0000))
  putU32(bytes, at + 2, mac % 0x1_0000_0000)
}

/** Broadcast counts as multicast. */
export function isMulticast(mac: MacAddress): boolean {
  return (Math.floor(mac / 0x100_0000_0000) & 1) === 1
}

/** "00:16:3e:00:00:01"; undefined when `text` is not such an address. */
export function parseMac(text: string): MacAddress | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined
  return text.split(':').reduce((sum, part) => sum * 256 + Number.parseInt(part, 16), 0) as
    MacAddress
}

export function formatMac(mac: MacAddress): string {
  return mac.toString(16).padStart(12, '0').replace(/..(?!$)/g, '$&:')
}

/** A frame around `payload`. */
export function ethernet(
  to: MacAddress, from: MacAddress, type: number, payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(ETHERNET_HEADER + payload.length)
  putMac(bytes, 0, to)
  putMac(bytes, 6, from)
  putU16(bytes, 12, type)
  bytes.set(payload, ETHERNET_HEADER)
  return bytes
}
