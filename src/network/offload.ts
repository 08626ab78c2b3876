/**
 * What senders may leave to others, done: checksums completed, large TCP frames cut.
 *
 * The cut follows what network cards do (RFC 9293 knows nothing of it): each piece has the headers
 * of the whole, its own sequence number and IP identification; FIN and PSH are on the last piece,
 * CWR on the first.
 */
import {
  checksum, checksumOffset, fold, type IpPlaces, ipPlaces, PROTOCOL_TCP, PROTOCOL_UDP, pseudoSum,
  sumWords,
} from './checksum.ts'
import { type Frame, putU16, putU32, u16At, u32At } from './frame.ts'

const FIN_PSH = 0x09
const CWR = 0x80
const TCP_MIN_HEADER = 20

/** The frame with its checksum computed; one without a transport of ours stays as it is. */
function completeChecksum(frame: Frame): Frame {
  if (!frame.checksumBlank) return frame
  const { checksumBlank: _, ...rest } = frame
  const places = ipPlaces(frame.bytes)
  const offset = places && checksumOffset(places.protocol)
  if (!places || offset === undefined || places.transport + offset + 2 > places.end) return rest
  const bytes = frame.bytes.slice()
  writeChecksum(bytes, places, places.transport + offset)
  return { ...rest, bytes }
}

function writeChecksum(bytes: Uint8Array, places: IpPlaces, at: number): void {
  const { transport, end } = places
  putU16(bytes, at, 0)
  const sum = checksum(bytes, transport, end, pseudoSum(bytes, places, end - transport))
  // In UDP, zero says that there is no checksum.
  putU16(bytes, at, sum === 0 && places.protocol === PROTOCOL_UDP ? 0xffff : sum)
}

/** Writes what stands in for a checksum that is still to be computed. */
export function blankChecksum(bytes: Uint8Array): void {
  const places = ipPlaces(bytes)
  const offset = places && checksumOffset(places.protocol)
  if (!places || offset === undefined) return
  const { transport, end } = places
  putU16(bytes, transport + offset, fold(pseudoSum(bytes, places, end - transport)))
}

/** Whether the transport's checksum of a frame is right, or there is none to be wrong. */
export function hasGoodChecksum(frame: Frame): boolean {
  if (frame.checksumBlank) return true
  const places = ipPlaces(frame.bytes)
  const offset = places && checksumOffset(places.protocol)
  if (!places || offset === undefined) return true
  const { transport, end } = places
  if (transport + offset + 2 > end) return false
  if (places.protocol === PROTOCOL_UDP && u16At(frame.bytes, transport + 6) === 0) return true
  const pseudo = pseudoSum(frame.bytes, places, end - transport)
  return fold(sumWords(frame.bytes, transport, end, pseudo)) === 0xffff
}

/** Frames as a wire takes them: cut to their segment size, with all checksums. */
export function wireFrames(frame: Frame): Frame[] {
  const places = ipPlaces(frame.bytes)
  const size = frame.segmentSize
  if (size === undefined || size < 1 || places?.protocol !== PROTOCOL_TCP) {
    return [completeChecksum({
      bytes: frame.bytes, ...frame.checksumBlank ? { checksumBlank: true } : {},
    })]
  }
  const header = ((frame.bytes[places.transport + 12] ?? 0) >> 4) * 4
  const data = places.transport + header
  if (header < TCP_MIN_HEADER || data > places.end) return []
  const pieces: Frame[] = []
  for (let at = data; at < places.end || at === data; at += size) {
    const end = Math.min(at + size, places.end)
    pieces.push({ bytes: piece(frame.bytes, places, data, at, end, pieces.length) })
  }
  return pieces
}

/** The piece of the payload from `at` to `end`, with headers. */
function piece(
  whole: Uint8Array, places: IpPlaces, data: number, at: number, end: number, index: number,
): Uint8Array {
  const bytes = new Uint8Array(data + end - at)
  bytes.set(whole.subarray(0, data))
  bytes.set(whole.subarray(at, end), data)
  const { version, ip, transport } = places
  if (version === 4) {
    putU16(bytes, ip + 2, bytes.length - ip)
    putU16(bytes, ip + 4, u16At(whole, ip + 4) + index & 0xffff)
    putU16(bytes, ip + 10, 0)
    putU16(bytes, ip + 10, checksum(bytes, ip, transport))
  } else {
    putU16(bytes, ip + 4, bytes.length - transport)
  }
  putU32(bytes, transport + 4, u32At(whole, transport + 4) + at - data >>> 0)
  let flags = whole[transport + 13] ?? 0
  if (end < places.end) flags &= ~FIN_PSH
  if (at > data) flags &= ~CWR
  bytes[transport + 13] = flags
  writeChecksum(bytes, { ...places, end: bytes.length }, transport + 16)
  return bytes
}
