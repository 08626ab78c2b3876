/**
 * The layout language against what C compilers do.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { atomicAdd, atomicCompareExchange, atomicOr } from './atomics.ts'
import { bits } from './bits.ts'
import { aligned, as, atomic, be16, be32, f64, i8, i64, pointer, u16, u32, u53, u64,
  u8, ulong } from
  './scalar.ts'
import { array, struct, union } from './struct.ts'
import { readText, writeText } from './text.ts'

const Time = struct('struct vcpu_time_info', {
  version: u32, pad0: u32, tsc_timestamp: u64, system_time: u64,
  tsc_to_system_mul: u32, tsc_shift: i8, flags: u8, pad1: array(u8, 2),
})

test('offsets and sizes follow C', () => {
  assert.equal(Time.size, 32)
  assert.equal(Time.offsets.system_time, 16)
  assert.equal(struct('s', { a: u8, b: u64, c: u8 }).size, 24)
})

test('the 32-bit ABI aligns 64-bit fields to 4 and shortens longs', () => {
  const s = struct('s', { a: u8, b: u64, c: ulong, d: u8, e: aligned(u64) })
  assert.deepEqual({ ...s.for('x86_32').offsets }, { a: 0, b: 4, c: 12, d: 16, e: 24 })
  assert.deepEqual({ ...s.offsets }, { a: 0, b: 8, c: 16, d: 24, e: 32 })
  const view = s.for('x86_32').on(new ArrayBuffer(64))
  view.c = 0xffff_ffff
  assert.equal(view.c, 0xffff_ffff)
})

test('a view reads and writes where it is moved', () => {
  const buffer = new ArrayBuffer(128)
  const view = Time.on(buffer, 32)
  view.system_time = 0x1122_3344_5566_7788n
  view.tsc_shift = -3
  view.pad1.set(1, 9)
  assert.equal(new DataView(buffer).getBigUint64(48, true), 0x1122_3344_5566_7788n)
  view.at(0)
  assert.equal(view.system_time, 0n)
  assert.equal(view.pad1.get(1), 0)
  view.at(32)
  assert.equal(view.tsc_shift, -3)
  assert.equal(view.pad1.get(1), 9)
})

test('nested views move with their parent, and items with their array', () => {
  const Outer = struct('o', { head: u16, times: array(Time, 3), tail: as<number>(u16) })
  const view = Outer.on(new SharedArrayBuffer(512), 64)
  view.times.item(2).flags = 7
  view.tail = 0xbeef
  assert.equal(view.bytes.getUint8(64 + 8 + 64 + 29), 7)
  view.at(0)
  assert.equal(view.times.item(2).flags, 0)
  assert.equal(view.at(64).times.item(2).flags, 7)
})

test('a union lays its fields over one another', () => {
  const s = struct('s', { tag: u32, u: union({ wide: u64, narrow: u16, bytes8: array(u8, 3) }) })
  assert.equal(s.size, 16)
  const view = s.on(new ArrayBuffer(16))
  view.u.wide = 0x0102n
  assert.equal(view.u.narrow, 0x0102)
  assert.equal(view.u.bytes8.get(0), 2)
})

test('bit fields are counted from bit 0', () => {
  const s = struct('s', { attr: bits(u16, { type: 4, s: 1, dpl: 2, p: 1 }) })
  const view = s.on(new ArrayBuffer(2))
  view.attr.dpl = 3
  view.attr.type = 0xb
  assert.equal(view.attr.raw, 0x6b)
  view.attr.raw = 0x80
  assert.equal(view.attr.p, 1)
  assert.equal(view.attr.dpl, 0)
})

test('u53 carries frames and addresses as plain numbers, and signs small negatives', () => {
  const s = struct('s', { a: u53, b: i64, c: f64 })
  const view = s.on(new ArrayBuffer(24))
  view.a = 2 ** 52 + 5
  assert.equal(view.a, 2 ** 52 + 5)
  view.a = -2
  assert.equal(view.bytes.getBigInt64(0, true), -2n)
  view.c = 1.5
  assert.equal(view.c, 1.5)
})

test('atomic fields are Atomics on the shared words', () => {
  const s = struct('s', { pad: u32, word: atomic(u32), more: array(atomic(u32), 4) })
  const view = s.on(new DataView(new SharedArrayBuffer(96), 16), 4)
  view.word = 0xffff_fff0
  assert.equal(view.word, 0xffff_fff0)
  assert.equal(atomicAdd(view, s.offsets.word, 1), 0xffff_fff0)
  assert.equal(atomicOr(view, s.offsets.word, 2), 0xffff_fff1)
  assert.equal(atomicCompareExchange(view, s.offsets.word, 0xffff_fff3, 4), 0xffff_fff3)
  assert.equal(view.bytes.getUint32(8, true), 4)
  view.more.set(3, 5)
  assert.equal(view.bytes.getUint32(4 + 8 + 12, true), 5)
})

test('big-endian scalars and packing serve wire formats', () => {
  const s = struct('s', { a: be16, b: be32 }, { packed: true })
  assert.equal(s.size, 6)
  const view = s.on(new ArrayBuffer(6))
  view.b = 0x01020304
  assert.equal(view.bytes.getUint8(2), 1)
})

test('a field may not hide a name of the view itself', () => {
  assert.throws(() => struct('s', { position: u8 }), /cannot be called position/)
})

test('a field called base stands where views otherwise say where they lie', () => {
  const segment = struct('segment', { base: u64, limit: u32 })
  const view = segment.on(new ArrayBuffer(64), 16)
  view.base = 5n
  assert.equal(view.base, 5n)
  assert.equal(view.position, 16)
  assert.equal(struct('s', { a: u8 }).on(new ArrayBuffer(64), 16).base, 16)
})

test('texts end with NUL and are cut to fit', () => {
  const s = struct('s', { name: array(u8, 4) })
  const view = s.on(new ArrayBuffer(4))
  writeText(view.name, 'abcdef')
  assert.equal(readText(view.name), 'abc')
})

test('pointers to the upper half are negative and exact', () => {
  const s = struct('s', { handle: pointer })
  const view = s.on(new ArrayBuffer(8))
  view.bytes.setBigUint64(0, 0xffff_c900_0001_3e48n, true)
  assert.equal(view.handle, Number(BigInt.asIntN(64, 0xffff_c900_0001_3e48n)))
  const address = view.handle
  view.handle = 0
  view.handle = address
  assert.equal(view.bytes.getBigUint64(0, true), 0xffff_c900_0001_3e48n)
})
