/**
 * For tests only: a tiny ELF kernel with Xen notes, and a bzImage around any payload.
 */
import {
  XEN_ELFNOTE_GUEST_OS, XEN_ELFNOTE_PHYS32_ENTRY, XEN_ELFNOTE_SUPPORTED_FEATURES,
} from './kernel.ts'

export const SAMPLE_LOAD_ADDRESS = 0x1000000
export const SAMPLE_ENTRY = SAMPLE_LOAD_ADDRESS + 0x10
export const SAMPLE_MEMORY_SIZE = 0x3000

export interface SampleOptions {
  readonly bits?: 32 | 64
  readonly pvh?: boolean
  readonly entry?: number
  readonly guestOs?: string
  readonly features?: number
  readonly loadAddress?: number
}

function note(type: number, description: Uint8Array): number[] {
  const bytes = new Uint8Array(16 + Math.ceil(description.length / 4) * 4)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 4, true)
  view.setUint32(4, description.length, true)
  view.setUint32(8, type, true)
  bytes.set(new TextEncoder().encode('Xen\0'), 12)
  bytes.set(description, 16)
  return [...bytes]
}

function numberNote(type: number, value: number): number[] {
  return note(type, Uint8Array.of(value, value >> 8, value >> 16, value >> 24))
}

/** One segment of 4096 bytes (the byte 0x90) and 8192 more of zeros, and a segment of notes. */
export function sampleElf(options: SampleOptions = {}): Uint8Array {
  const {
    bits = 64, pvh = true, entry = SAMPLE_ENTRY, features = 0x8801, guestOs = 'linux',
  } = options
  const address = options.loadAddress ?? SAMPLE_LOAD_ADDRESS
  const notes = [
    ...note(XEN_ELFNOTE_GUEST_OS, new TextEncoder().encode(`${guestOs}\0`)),
    ...numberNote(XEN_ELFNOTE_SUPPORTED_FEATURES, features),
    ...pvh ? numberNote(XEN_ELFNOTE_PHYS32_ENTRY, entry) : [],
  ]
  const bytes = new Uint8Array(0x2000 + notes.length)
  const view = new DataView(bytes.buffer)
  const wide = bits === 64
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, wide ? 62 : 3, true)
  const headersAt = wide ? 64 : 52
  const headerSize = wide ? 56 : 32
  view.setUint32(wide ? 32 : 28, headersAt, true)
  view.setUint16(wide ? 54 : 42, headerSize, true)
  view.setUint16(wide ? 56 : 44, 2, true)
  const header = (at: number, type: number, fields: readonly number[]) => {
    const [offset, virtual, physical, file, memory] = fields as [
      number, number, number, number, number,
    ]
    view.setUint32(at, type, true)
    const places = wide
      ? [[8, offset], [16, virtual], [24, physical], [32, file], [40, memory]] as const
      : [[4, offset], [8, virtual], [12, physical], [16, file], [20, memory]] as const
    for (const [place, value] of places) view.setUint32(at + place, value, true)
  }
  header(headersAt, 1, [0x1000, 0x80000000, address, 0x1000, SAMPLE_MEMORY_SIZE])
  header(headersAt + headerSize, 4, [0x2000, 0, 0, notes.length, notes.length])
  bytes.fill(0x90, 0x1000, 0x2000)
  bytes.set(notes, 0x2000)
  return bytes
}

/** A bzImage of boot protocol `version` whose payload is `payload` as it stands. */
export function sampleBzImage(payload: Uint8Array, version = 0x20f): Uint8Array {
  const start = 2 * 512 + 0x40
  const bytes = new Uint8Array(start + payload.length + 16)
  const view = new DataView(bytes.buffer)
  view.setUint8(0x1f1, 1)
  view.setUint16(0x1fe, 0xaa55, true)
  view.setUint32(0x202, 0x53726448, true)
  view.setUint16(0x206, version, true)
  view.setUint32(0x248, 0x40, true)
  view.setUint32(0x24c, payload.length, true)
  bytes.set(payload, start)
  return bytes
}

/** `packed` with the unpacked size behind it, as Linux's build appends it. */
export function withSize(packed: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(packed.length + 4)
  bytes.set(packed)
  new DataView(bytes.buffer).setUint32(packed.length, size, true)
  return bytes
}
