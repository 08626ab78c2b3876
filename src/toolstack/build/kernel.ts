/**
 * A kernel from a file, whatever its wrapping: bzImage, ELF, or ELF packed as a whole.
 *
 * The Xen notes obey xen/include/public/elfnote.h; a note of eight or four bytes is a number.
 */
import {
  type HostDecompressor, packedFormatOf, unpack,
} from '../../base/compression/formats.ts'
import { isBzImage, KERNEL_LIMIT, unpackBzImage } from './bzimage.ts'
import { type ElfImage, type ElfNote, type ElfSegment, isElf, readElf } from './elf.ts'
import { ImageError } from './image-error.ts'

export const XEN_ELFNOTE_GUEST_OS = 6
export const XEN_ELFNOTE_SUPPORTED_FEATURES = 17
export const XEN_ELFNOTE_PHYS32_ENTRY = 18

/** A kernel ready to be loaded. */
export interface KernelImage {
  readonly name: string
  readonly bits: 32 | 64
  /** In the order of the file, none empty; all below 4 GiB. */
  readonly segments: readonly ElfSegment[]
  /** Where a PVH guest starts, a physical address; undefined when the kernel cannot be one. */
  readonly pvhEntry: number | undefined
  /** The first byte of the lowest segment, and the byte after the highest. */
  readonly start: number
  readonly end: number
  readonly notes: XenNotes
}

/** The notes whose owner is Xen, by XEN_ELFNOTE_* number. */
class XenNotes {
  readonly #notes: ReadonlyMap<number, Uint8Array>

  constructor(notes: readonly ElfNote[]) {
    const own = notes.filter((note) => note.owner === 'Xen')
    this.#notes = new Map(own.map((note) => [note.type, note.description]))
  }

  number(type: number): number | undefined {
    const bytes = this.#notes.get(type)
    if (!bytes) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length >= 8) return Number(view.getBigUint64(0, true))
    return bytes.length >= 4 ? view.getUint32(0, true) : undefined
  }

  text(type: number): string | undefined {
    const bytes = this.#notes.get(type)
    return bytes && new TextDecoder().decode(bytes).replace(/\0.*$/s, '')
  }
}

/** Reads a kernel; `name` (its path, as a rule) is what messages call it. */
export function loadKernel(bytes: Uint8Array, host: HostDecompressor, name: string): KernelImage {
  const elf = readElf(elfOf(bytes, host, name), name)
  return kernelOf(elf, name)
}

function elfOf(bytes: Uint8Array, host: HostDecompressor, name: string): Uint8Array {
  if (isElf(bytes)) return bytes
  if (isBzImage(bytes)) return unpackBzImage(bytes, host, name)
  const format = packedFormatOf(bytes)
  if (!format) {
    const what = bytes.length === 0 ? 'the file is empty' : 'neither a bzImage nor an ELF file'
    throw new ImageError('not a kernel', `${name}: not a kernel: ${what}`)
  }
  let unpacked
  try {
    unpacked = unpack(format, bytes, { limit: KERNEL_LIMIT }, host)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new ImageError('corrupt', `${name}: cannot be unpacked: ${message}`, { cause })
  }
  if (!isElf(unpacked)) {
    const what = `${format} data without an ELF file`
    throw new ImageError('not a kernel', `${name}: not a kernel: ${what}`)
  }
  return unpacked
}

function kernelOf(elf: ElfImage, name: string): KernelImage {
  const { segments } = elf
  if (segments.length === 0) {
    throw new ImageError('not a kernel', `${name}: not a kernel: an ELF file with nothing to load`)
  }
  const start = Math.min(...segments.map((segment) => segment.physicalAddress))
  const end = Math.max(...segments.map((s) => s.physicalAddress + s.memorySize))
  if (end > 2 ** 32) {
    throw new ImageError('unsupported', `${name}: is to be loaded above 4 GiB, at ${hex(end)}`)
  }
  const notes = new XenNotes(elf.notes)
  const pvhEntry = notes.number(XEN_ELFNOTE_PHYS32_ENTRY)
  if (pvhEntry !== undefined && (pvhEntry < start || pvhEntry >= end)) {
    throw new ImageError('corrupt', `${name}: its PVH entry ${hex(pvhEntry)} is outside the kernel`)
  }
  return { name, bits: elf.bits, segments, pvhEntry, start, end, notes }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}
