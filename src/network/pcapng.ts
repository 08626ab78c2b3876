/**
 * A writer of pcapng, the format that Wireshark and tshark read.
 *
 * Obeys draft-ietf-opsawg-pcapng: a section header, one Ethernet interface with microseconds, and
 * an enhanced packet block for each frame, in little-endian.
 */
const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE = 1
const ENHANCED_PACKET = 6
const BYTE_ORDER_MAGIC = 0x1a2b3c4d
const LINKTYPE_ETHERNET = 1
const WORD = 0x1_0000_0000

function block(type: number, body: Uint8Array): Uint8Array {
  const length = 12 + Math.ceil(body.length / 4) * 4
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type, true)
  view.setUint32(4, length, true)
  bytes.set(body, 8)
  view.setUint32(length - 4, length, true)
  return bytes
}

/** What a file begins with; frames longer than `snapLength` are cut. */
export function pcapngStart(snapLength: number): Uint8Array {
  const section = new DataView(new ArrayBuffer(16))
  section.setUint32(0, BYTE_ORDER_MAGIC, true)
  section.setUint16(4, 1, true)
  // The section's length is not known.
  section.setBigInt64(8, -1n, true)
  const face = new DataView(new ArrayBuffer(8))
  face.setUint16(0, LINKTYPE_ETHERNET, true)
  face.setUint32(4, snapLength, true)
  const head = block(SECTION_HEADER, new Uint8Array(section.buffer))
  const description = block(INTERFACE, new Uint8Array(face.buffer))
  const bytes = new Uint8Array(head.length + description.length)
  bytes.set(head)
  bytes.set(description, head.length)
  return bytes
}

/** One frame, seen `wallMs` milliseconds after 1970. */
export function pcapngPacket(frame: Uint8Array, wallMs: number, snapLength: number): Uint8Array {
  const kept = frame.subarray(0, snapLength)
  const body = new Uint8Array(20 + kept.length)
  const view = new DataView(body.buffer)
  const us = Math.floor(wallMs * 1000)
  view.setUint32(4, Math.floor(us / WORD), true)
  view.setUint32(8, us % WORD, true)
  view.setUint32(12, kept.length, true)
  view.setUint32(16, frame.length, true)
  body.set(kept, 20)
  return block(ENHANCED_PACKET, body)
}
