/**
 * ELF executables for x86, 32 and 64 bits: what is loaded where, and the notes.
 *
 * Obeys the System V ABI's object file format. Only program headers are read, not sections, because
 * boot loaders do not need them and stripped kernels do not have them.
 */
import { ImageError } from './image-error.ts'

const ELFCLASS32 = 1
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
const EM_386 = 3
const EM_X86_64 = 62
const PT_LOAD = 1
const PT_NOTE = 4
const EHDR_SIZE = { 32: 52, 64: 64 } as const
const PHDR_SIZE = { 32: 32, 64: 56 } as const
/** More program headers than any kernel has. */
const MAX_HEADERS = 1024

/** A part of the image as it lies in memory: the bytes, then zeros up to `memorySize`. */
export interface ElfSegment {
  readonly physicalAddress: number
  readonly virtualAddress: bigint
  readonly bytes: Uint8Array
  readonly memorySize: number
}

export interface ElfNote {
  readonly owner: string
  readonly type: number
  readonly description: Uint8Array
}

export interface ElfImage {
  readonly bits: 32 | 64
  readonly entry: bigint
  readonly segments: readonly ElfSegment[]
  readonly notes: readonly ElfNote[]
}

interface ProgramHeader {
  readonly type: number
  readonly offset: number
  readonly virtualAddress: bigint
  readonly physicalAddress: number
  readonly fileSize: number
  readonly memorySize: number
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
}

/** Reads an ELF executable; `name` is what messages call it. The segments share `bytes`. */
export function readElf(bytes: Uint8Array, name: string): ElfImage {
  if (!isElf(bytes)) throw new ImageError('not a kernel', `${name}: not an ELF file`)
  const bits = bytes[4] === ELFCLASS64 ? 64 : 32
  if (bytes.length < EHDR_SIZE[bits]) throw truncated(name, 'its ELF header')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const machine = view.getUint16(18, true)
  const known = bytes[5] === ELFDATA2LSB &&
    (bits === 64 ? machine === EM_X86_64 : bytes[4] === ELFCLASS32 && machine === EM_386)
  if (!known) throw new ImageError('not a kernel', `${name}: an ELF file, but not for x86`)

  const headers = programHeaders(view, bits, name)
  const segments: ElfSegment[] = []
  const notes: ElfNote[] = []
  for (const header of headers) {
    if (header.type !== PT_LOAD && header.type !== PT_NOTE) continue
    if (header.offset + header.fileSize > bytes.length) {
      throw truncated(name, `a segment that ends at byte ${header.offset + header.fileSize}`)
    }
    const content = bytes.subarray(header.offset, header.offset + header.fileSize)
    if (header.type === PT_NOTE) {
      notes.push(...readNotes(content))
      continue
    }
    if (header.memorySize < header.fileSize) {
      throw new ImageError('corrupt', `${name}: a segment is larger in the file than in memory`)
    }
    if (header.memorySize === 0) continue
    const { physicalAddress, virtualAddress, memorySize } = header
    segments.push({ physicalAddress, virtualAddress, bytes: content, memorySize })
  }
  const entry = bits === 64 ? view.getBigUint64(24, true) : BigInt(view.getUint32(24, true))
  return { bits, entry, segments, notes }
}

function truncated(name: string, what: string): ImageError {
  return new ImageError('truncated', `${name}: truncated: it ends before ${what}`)
}

function programHeaders(view: DataView, bits: 32 | 64, name: string): ProgramHeader[] {
  const wide = bits === 64
  const start = wide ? Number(view.getBigUint64(32, true)) : view.getUint32(28, true)
  const size = view.getUint16(wide ? 54 : 42, true)
  const count = view.getUint16(wide ? 56 : 44, true)
  if (count === 0 || count > MAX_HEADERS || size < PHDR_SIZE[bits]) {
    throw new ImageError('corrupt', `${name}: an ELF file without usable program headers`)
  }
  if (start + size * count > view.byteLength) {
    throw truncated(name, 'the end of its program headers')
  }
  const headers: ProgramHeader[] = []
  for (let i = 0; i < count; i++) {
    const at = start + i * size
    headers.push(wide ? header64(view, at) : header32(view, at))
  }
  return headers
}

function header64(view: DataView, at: number): ProgramHeader {
  return {
    type: view.getUint32(at, true),
    offset: Number(view.getBigUint64(at + 8, true)),
    virtualAddress: view.getBigUint64(at + 16, true),
    physicalAddress: Number(view.getBigUint64(at + 24, true)),
    fileSize: Number(view.getBigUint64(at + 32, true)),
    memorySize: Number(view.getBigUint64(at + 40, true)),
  }
}

function header32(view: DataView, at: number): ProgramHeader {
  return {
    type: view.getUint32(at, true),
    offset: view.getUint32(at + 4, true),
    virtualAddress: BigInt(view.getUint32(at + 8, true)),
    physicalAddress: view.getUint32(at + 12, true),
    fileSize: view.getUint32(at + 16, true),
    memorySize: view.getUint32(at + 20, true),
  }
}

/** Reads the notes of one segment; stops quietly where they stop making sense. */
function readNotes(bytes: Uint8Array): ElfNote[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const notes: ElfNote[] = []
  let at = 0
  while (at + 12 <= bytes.length) {
    const nameSize = view.getUint32(at, true)
    const size = view.getUint32(at + 4, true)
    const type = view.getUint32(at + 8, true)
    const nameAt = at + 12
    const descriptionAt = nameAt + Math.ceil(nameSize / 4) * 4
    const end = descriptionAt + size
    if (nameSize > bytes.length || end > bytes.length) break
    const name = bytes.subarray(nameAt, nameAt + Math.max(nameSize - 1, 0))
    notes.push({
      owner: String.fromCharCode(...name.subarray(0, 32)),
      type,
      description: bytes.subarray(descriptionAt, end),
    })
    at = descriptionAt + Math.ceil(size / 4) * 4
  }
  return notes
}
