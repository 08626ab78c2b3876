/**
 * Frames with what their sender left to others, as TAP devices take and give them: behind a struct
 * virtio_net_hdr (linux/virtio_net.h). Little-endian, as the hosts that we run on are.
 */
import { checksum, checksumOffset, ipPlaces, PROTOCOL_TCP } from './checksum.ts'
import { type Frame, putU16 } from './frame.ts'
import { wireFrames } from './offload.ts'

const VNET_HEADER = 10
const FLAGS = 0
const GSO_TYPE = 1
const HEADER_LENGTH = 2
const GSO_SIZE = 4
const CHECKSUM_START = 6
const CHECKSUM_OFFSET = 8

const NEEDS_CHECKSUM = 1
const GSO_NONE = 0
const GSO_TCPV4 = 1
const GSO_TCPV6 = 4
/** Beside the type: the segments carry explicit congestion notification. */
const GSO_ECN = 0x80

/** The frame behind its header; several of them where it cannot go as it is. */
export function withVnetHeader(frame: Frame): Uint8Array[] {
  const places = ipPlaces(frame.bytes)
  const offset = places && checksumOffset(places.protocol)
  if (!places || offset === undefined || !frame.checksumBlank) {
    return wireFrames(frame).map(({ bytes }) => behind(bytes).bytes)
  }
  const { bytes, view } = behind(frame.bytes)
  const { transport, version, protocol } = places
  view.setUint8(FLAGS, NEEDS_CHECKSUM)
  view.setUint16(CHECKSUM_START, transport, true)
  view.setUint16(CHECKSUM_OFFSET, offset, true)
  if (frame.segmentSize !== undefined && protocol === PROTOCOL_TCP) {
    view.setUint8(GSO_TYPE, version === 4 ? GSO_TCPV4 : GSO_TCPV6)
    view.setUint16(GSO_SIZE, frame.segmentSize, true)
    view.setUint16(HEADER_LENGTH,
      transport + ((frame.bytes[transport + 12] ?? 0) >> 4) * 4, true)
  }
  return [bytes]
}

function behind(frame: Uint8Array): { readonly bytes: Uint8Array, readonly view: DataView } {
  const bytes = new Uint8Array(VNET_HEADER + frame.length)
  bytes.set(frame, VNET_HEADER)
  return { bytes, view: new DataView(bytes.buffer) }
}

/** The frame behind a header; undefined for what is none, or of a kind that was not asked for. */
export function readVnetHeader(packet: Uint8Array): Frame | undefined {
  if (packet.length < VNET_HEADER) return undefined
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const bytes = packet.slice(VNET_HEADER)
  const type = view.getUint8(GSO_TYPE) & ~GSO_ECN
  const size = view.getUint16(GSO_SIZE, true)
  const isSegmented = type === GSO_TCPV4 || type === GSO_TCPV6
  if (!isSegmented && type !== GSO_NONE || isSegmented && size === 0) return undefined
  if ((view.getUint8(FLAGS) & NEEDS_CHECKSUM) === 0) return isSegmented ? undefined : { bytes }
  const start = view.getUint16(CHECKSUM_START, true)
  const at = start + view.getUint16(CHECKSUM_OFFSET, true)
  if (at + 2 > bytes.length) return undefined
  const places = ipPlaces(bytes)
  const offset = places && checksumOffset(places.protocol)
  const isOurs = places?.transport === start && offset === at - start
  if (isOurs) return { bytes, checksumBlank: true, ...isSegmented ? { segmentSize: size } : {} }
  if (isSegmented) return undefined
  // A transport that others do not know; what is in its field already is part of the sum.
  putU16(bytes, at, checksum(bytes, start, bytes.length))
  return { bytes }
}
