/**
 * Scalar types of the layout language: how one number lies in memory.
 *
 * Sizes and alignments are those of the System V ABIs for x86-64 and i386 (where a 64-bit integer
 * aligns to 4 bytes inside a struct). Everything is little-endian unless its name says otherwise.
 */
import { Bug } from '../assert.ts'

/** The C ABI whose layout rules apply. */
export type Abi = 'x86_64' | 'x86_32'

/** What an accessor reads through: a position in a buffer. */
export interface Place {
  readonly position: number
  readonly bytes: DataView
  /** The same buffer as 32-bit words, for Atomics; its index 0 is the buffer's byte 0. */
  readonly cells: Int32Array
  /** Where `bytes` begins in its buffer. */
  readonly origin: number
}

/** Accessors of a scalar, already bound to the distance from the place's base. */
export interface Access<T> {
  get(place: Place): T
  set(place: Place, value: T): void
}

/** A type that is one value: it becomes a property with a getter and a setter. */
export interface Scalar<T> {
  readonly kind: 'scalar'
  readonly atomic: boolean
  size(abi: Abi): number
  align(abi: Abi): number
  access(offset: number, abi: Abi): Access<T>
}

type Accessor<T> = (offset: number) => Access<T>

function scalar<T>(
  bytes: number, access: Accessor<T>, align32: number = Math.min(bytes, 4),
): Scalar<T> {
  return {
    kind: 'scalar',
    atomic: false,
    size: () => bytes,
    align: (abi) => abi === 'x86_32' ? align32 : bytes,
    access,
  }
}

export const u8 = scalar<number>(1, (o) => ({
  get: (p) => p.bytes.getUint8(p.position + o),
  set: (p, v) => p.bytes.setUint8(p.position + o, v),
}))
export const i8 = scalar<number>(1, (o) => ({
  get: (p) => p.bytes.getInt8(p.position + o),
  set: (p, v) => p.bytes.setInt8(p.position + o, v),
}))
export const u16 = scalar<number>(2, (o) => ({
  get: (p) => p.bytes.getUint16(p.position + o, true),
  set: (p, v) => p.bytes.setUint16(p.position + o, v, true),
}))
export const i16 = scalar<number>(2, (o) => ({
  get: (p) => p.bytes.getInt16(p.position + o, true),
  set: (p, v) => p.bytes.setInt16(p.position + o, v, true),
}))
export const u32 = scalar<number>(4, (o) => ({
  get: (p) => p.bytes.getUint32(p.position + o, true),
  set: (p, v) => p.bytes.setUint32(p.position + o, v, true),
}))
export const i32 = scalar<number>(4, (o) => ({
  get: (p) => p.bytes.getInt32(p.position + o, true),
  set: (p, v) => p.bytes.setInt32(p.position + o, v, true),
}))
export const u64 = scalar<bigint>(8, (o) => ({
  get: (p) => p.bytes.getBigUint64(p.position + o, true),
  set: (p, v) => p.bytes.setBigUint64(p.position + o, v, true),
}))
export const i64 = scalar<bigint>(8, (o) => ({
  get: (p) => p.bytes.getBigInt64(p.position + o, true),
  set: (p, v) => p.bytes.setBigInt64(p.position + o, v, true),
}))
export const f64 = scalar<number>(8, (o) => ({
  get: (p) => p.bytes.getFloat64(p.position + o, true),
  set: (p, v) => p.bytes.setFloat64(p.position + o, v, true),
}))

const WORD = 0x1_0000_0000

/** Reads 64 bits as a plain number; above 2^53 the lowest bits are lost, and nothing throws. */
export function readU53(bytes: DataView, at: number): number {
  return bytes.getUint32(at + 4, true) * WORD + bytes.getUint32(at, true)
}

/** Writes a plain number as 64 bits; a negative one is sign-extended. */
export function writeU53(bytes: DataView, at: number, value: number): void {
  bytes.setUint32(at, value % WORD, true)
  bytes.setUint32(at + 4, Math.floor(value / WORD), true)
}

const wide: Accessor<number> = (o) => ({
  get: (p) => readU53(p.bytes, p.position + o),
  set: (p, v) => writeU53(p.bytes, p.position + o, v),
})

/** Sixty-four bits that hold an address, a frame or a count, as a plain number. */
export const u53 = scalar<number>(8, wide)

export const be16 = scalar<number>(2, (o) => ({
  get: (p) => p.bytes.getUint16(p.position + o, false),
  set: (p, v) => p.bytes.setUint16(p.position + o, v, false),
}))
export const be32 = scalar<number>(4, (o) => ({
  get: (p) => p.bytes.getUint32(p.position + o, false),
  set: (p, v) => p.bytes.setUint32(p.position + o, v, false),
}))
export const be64 = scalar<bigint>(8, (o) => ({
  get: (p) => p.bytes.getBigUint64(p.position + o, false),
  set: (p, v) => p.bytes.setBigUint64(p.position + o, v, false),
}))
/** Big-endian, as a plain number; above 2^53 the lowest bits are lost, and nothing throws. */
export const be53 = scalar<number>(8, (o) => ({
  get: (p) => p.bytes.getUint32(p.position + o, false) * WORD +
    p.bytes.getUint32(p.position + o + 4, false),
  set: (p, v) => {
    p.bytes.setUint32(p.position + o, Math.floor(v / WORD), false)
    p.bytes.setUint32(p.position + o + 4, v % WORD, false)
  },
}))

function byAbi<T>(native: Scalar<T>, compat: Scalar<T>): Scalar<T> {
  const of = (abi: Abi): Scalar<T> => abi === 'x86_32' ? compat : native
  return {
    kind: 'scalar',
    atomic: false,
    size: (abi) => of(abi).size(abi),
    align: (abi) => of(abi).align(abi),
    access: (offset, abi) => of(abi).access(offset, abi),
  }
}

/** `unsigned long`, as a plain number. */
export const ulong = byAbi<number>(u53, u32)
/**
 * A guest pointer (XEN_GUEST_HANDLE): 64 bits as a signed number, so that both halves of the
 * canonical address space are exact (the upper half is negative).
 */
export const pointer = byAbi<number>(scalar<number>(8, (o) => ({
  get: (p) => p.bytes.getInt32(p.position + o + 4, true) * WORD +
    p.bytes.getUint32(p.position + o, true),
  set: (p, v) => writeU53(p.bytes, p.position + o, v),
})), u32)

/** The same type aligned to its size under every ABI (`uint64_aligned_t`). */
export function aligned<T>(type: Scalar<T>): Scalar<T> {
  return { ...type, align: (abi) => type.size(abi) }
}

/** The same number under a brand: `as<Domid>(u16)`. */
export function as<T extends number>(type: Scalar<number>): Scalar<T> {
  return type as unknown as Scalar<T>
}

/**
 * A 32-bit word that others change at the same time: reads and writes are Atomics.
 *
 * Read-modify-write goes through `cellOf(view, offset)` of atomics.ts.
 */
export function atomic<T extends number>(type: Scalar<T>): Scalar<T> {
  if (type.size('x86_64') !== 4) throw new Bug('atomic() takes a 32-bit scalar')
  const unsigned = type as unknown !== i32
  return {
    ...type,
    atomic: true,
    access: (offset) => unsigned ? unsignedCell<T>(offset) : signedCell<T>(offset),
  }
}

function unsignedCell<T extends number>(o: number): Access<T> {
  return {
    get: (p) => (Atomics.load(p.cells, p.origin + p.position + o >>> 2) >>> 0) as T,
    set: (p, v) => { Atomics.store(p.cells, p.origin + p.position + o >>> 2, v | 0) },
  }
}

function signedCell<T extends number>(o: number): Access<T> {
  return {
    get: (p) => Atomics.load(p.cells, p.origin + p.position + o >>> 2) as T,
    set: (p, v) => { Atomics.store(p.cells, p.origin + p.position + o >>> 2, v) },
  }
}
