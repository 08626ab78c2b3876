/**
 * Tests of translation, TLBs, slow accesses and MMIO on a small machine.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { LOCAL_LOG_ENTRIES, SET_LOG_ENTRIES, Stop } from '../core-memory.ts'
import {
  entryWithin, LEAF_ENTRIES, P2M_HOLE, P2M_MFN_SHIFT, P2M_MMIO, P2M_POD, P2M_RAM_RO, P2M_RAM_RW,
} from '../p2m-format.ts'
import { Access } from './environment.ts'
import { TestMachine } from './test-machine.ts'

const PRESENT = 1n
const RW = 2n
const USER = 4n
const A = 0x20n
const D = 0x40n
const G = 0x100n

function expectFault(machine: TestMachine, run: () => void, code: number, address: bigint): void {
  assert.throws(run, (error) => error === machine.fault)
  assert.equal(machine.fault.vector, 14)
  assert.equal(machine.fault.errorCode, code)
  assert.equal(machine.context.cr2, BigInt.asUintN(64, address))
}

test('a page is translated, filled, and read again through the inline path', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  const leaf = machine.map(0xffff_8000_1234_5000n, BigInt(frame) | PRESENT | RW)
  machine.write64(frame + 0x10, 0x1122_3344_5566_7788n)
  const linear = BigInt.asIntN(64, 0xffff_8000_1234_5010n)
  assert.equal(machine.mmu.inlineLoad(linear), 0x1122_3344_5566_7788n)
  assert.equal(machine.fills(), 1)
  assert.equal(machine.read64(leaf) & (A | D), A)
  assert.equal(machine.mmu.inlineLoad(linear), 0x1122_3344_5566_7788n)
  assert.equal(machine.fills(), 1)
  assert.equal(machine.mmu.inlineStore(linear, 5n), 0)
  assert.equal(machine.read64(leaf) & (A | D), A | D)
  assert.equal(machine.read64(frame + 0x10), 5n)
  assert.equal(machine.mmu.inlineAdd(linear, 7n), 0)
  assert.equal(machine.read64(frame + 0x10), 12n)
})

test('the service view reads and writes all sizes', () => {
  const machine = new TestMachine().longMode()
  machine.map(0x1000n, BigInt(machine.frame() << 12) | PRESENT | RW)
  machine.memory.write(0x1008n, 8, 0x8877_6655_4433_2211n, false)
  assert.equal(machine.memory.read(0x1008n, 6, false), 0x6655_4433_2211n)
  assert.equal(machine.memory.read(0x100fn, 1, false), 0x88n)
  machine.memory.write(0x1009n, 3, 0xaabbccn, false)
  assert.equal(machine.memory.read(0x1008n, 8, false), 0x8877_6655_aabb_cc11n)
  expectFault(machine, () => machine.memory.read(0x1008n, 4, true), 5, 0x1008n)
  expectFault(machine, () => machine.memory.write(0x2008n, 4, 1n, false), 2, 0x2008n)
})

test('without paging, linear addresses are guest-physical', () => {
  const machine = new TestMachine()
  machine.write32(0x5678, 0xcafe)
  assert.equal(machine.memory.read(0x5678n, 4, false), 0xcafen)
  machine.memory.write(0x5678n, 2, 0x1234n, false)
  assert.equal(machine.read32(0x5678), 0x1234)
  assert.equal(machine.fills(), 2)
})

test('an access that crosses pages faults at the second page, and writes nothing', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  machine.map(0x7000n, BigInt(frame) | PRESENT | RW)
  const before = machine.read64(frame + 0xff8)
  expectFault(machine, () => machine.memory.write(0x7ffcn, 8, -1n, false), 2, 0x8000n)
  assert.equal(machine.read64(frame + 0xff8), before)
  expectFault(machine, () => machine.memory.read(0x7ffdn, 4, false), 0, 0x8000n)
  const second = machine.frame() << 12
  machine.map(0x8000n, BigInt(second) | PRESENT | RW)
  machine.memory.write(0x7ffdn, 8, 0x0807_0605_0403_0201n, false)
  assert.equal(machine.read64(frame + 0xff8) >> 40n, 0x030201n)
  assert.equal(machine.read64(second), 0x08_0706_0504n)
  assert.equal(machine.memory.read(0x7ffdn, 8, false), 0x0807_0605_0403_0201n)
  assert.equal(machine.mmu.inlineLoad(0x7ffdn), 0x0807_0605_0403_0201n)
})

test('a non-canonical address is #GP(0), or #SS(0) through the stack', () => {
  const machine = new TestMachine().longMode()
  assert.throws(() => machine.memory.read(0x8000_0000_0000n, 1, false))
  assert.equal(machine.fault.vector, 13)
  assert.equal(machine.fault.errorCode, 0)
  assert.equal(machine.mmu.walk(0x8000_0000_0000n, Access.STACK), -1n)
  assert.equal(machine.control.faultVector, 12)
})

test('MMIO stops, is answered, and goes on at the next access', () => {
  const machine = new TestMachine().longMode()
  const gfn = machine.frame()
  machine.setP2m(gfn, P2M_MMIO)
  machine.map(0x9000n, BigInt(gfn << 12) | PRESENT | RW)
  const { control } = machine
  assert.throws(() => machine.memory.read(0x9010n, 4, false), (error) => error === machine.exit)
  assert.equal(control.stop, Stop.MMIO_READ)
  assert.equal(control.accessAddress, BigInt((gfn << 12) + 0x10))
  assert.equal(control.accessSize, 4)
  control.replayCount = 1
  control.replayValues.set(0, 0x1_2345_6789_abcdn)
  assert.equal(machine.memory.read(0x9010n, 4, false), 0x6789_abcdn)
  assert.equal(control.replayIndex, 1)
  assert.throws(() => machine.memory.write(0x9018n, 2, 0x12345n, false))
  assert.equal(control.stop, Stop.MMIO_WRITE)
  assert.equal(control.accessValue, 0x2345n)
  control.replayCount = 2
  control.replayIndex = 1
  machine.memory.write(0x9018n, 2, 0x12345n, false)
  assert.equal(control.replayIndex, 2)
})

test('a store that crosses from memory to MMIO changes memory last', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  const device = machine.frame()
  machine.setP2m(device, P2M_MMIO)
  machine.map(0x3000n, BigInt(frame) | PRESENT | RW)
  machine.map(0x4000n, BigInt(device << 12) | PRESENT | RW)
  const { control } = machine
  for (let answered = 0; answered < 2; answered++) {
    control.replayIndex = 0
    control.replayCount = answered
    assert.throws(() => machine.memory.write(0x3ffen, 4, 0x4433_2211n, false))
    assert.equal(control.accessAddress, BigInt((device << 12) + answered))
    assert.equal(control.accessValue, [0x33n, 0x44n][answered])
    assert.equal(machine.read64(frame + 0xff8), 0n)
  }
  control.replayIndex = 0
  control.replayCount = 2
  machine.memory.write(0x3ffen, 4, 0x4433_2211n, false)
  assert.equal(machine.read64(frame + 0xff8) >> 48n, 0x2211n)
})

test('a read-only frame is read from memory and written by an exit', () => {
  const machine = new TestMachine().longMode()
  const gfn = machine.frame()
  machine.write64(gfn << 12, 77n)
  machine.setP2m(gfn, P2M_RAM_RO)
  machine.map(0x9000n, BigInt(gfn << 12) | PRESENT | RW | D)
  assert.equal(machine.mmu.inlineLoad(0x9000n), 77n)
  assert.equal(machine.mmu.inlineStore(0x9000n, 1n), Stop.MMIO_WRITE)
  assert.equal(machine.control.stop, Stop.MMIO_WRITE)
  assert.equal(machine.read64(gfn << 12), 77n)
})

test('page tables and pages in a superpage are found, and so they are when it is split', () => {
  const machine = new TestMachine().longMode()
  const { context, machine: view, mmu } = machine
  const [block, mfn, leaf] = [20, LEAF_ENTRIES * 10, 0x190_0800]
  const LAST = LEAF_ENTRIES - 1
  const physical = (page: number): bigint => BigInt(block * LEAF_ENTRIES + page << 12)
  const at = (page: number): number => mfn + page << 12
  const superpage = (type: number): number => mfn << P2M_MFN_SHIFT | type
  // Tables in pages 0 to 3, of which the last shows the last page, and page 0 behind it.
  context.cr3 = physical(0)
  for (const page of [0, 1, 2]) {
    view.setBigUint64(at(page), physical(page + 1) | PRESENT | RW, true)
  }
  view.setBigUint64(at(3), physical(LAST) | PRESENT | RW, true)
  view.setBigUint64(at(3) + 8, physical(0) | PRESENT | RW, true)
  view.setBigUint64(at(LAST), 77n, true)
  machine.setDirectory(block, superpage(P2M_RAM_RW))
  assert.equal(mmu.inlineLoad(0n), 77n)
  assert.equal(mmu.inlineStore(0n, 78n), 0)
  assert.equal(view.getBigUint64(at(LAST), true), 78n)
  assert.equal(mmu.inlineLoad(0x1000n), physical(1) | PRESENT | RW | A)
  machine.memory.flushAll()
  machine.setDirectory(block, superpage(P2M_RAM_RO))
  assert.equal(mmu.inlineLoad(0n), 78n)
  assert.equal(mmu.inlineStore(0n, 1n), Stop.MMIO_WRITE)
  machine.memory.flushAll()
  for (let i = 0; i < LEAF_ENTRIES; i++) {
    const entry = i === LAST ? P2M_HOLE : entryWithin(superpage(P2M_RAM_RW), i)
    view.setUint32(leaf + i * 4, entry, true)
  }
  machine.setDirectory(block, leaf)
  machine.control.stop = 0
  assert.equal(mmu.inlineLoad(0x1000n), physical(1) | PRESENT | RW | A)
  mmu.inlineLoad(0n)
  assert.equal(machine.control.stop, Stop.MMIO_READ)
  assert.equal(machine.control.accessAddress, physical(LAST))
})

test('what is populated on demand is no memory, whole superpages of it either', () => {
  const machine = new TestMachine().longMode()
  machine.setDirectory(20, P2M_POD)
  machine.map(0x9000n, BigInt(20 * LEAF_ENTRIES + 3 << 12) | PRESENT | RW)
  for (const [access, stop] of [
    [() => machine.mmu.inlineLoad(0x9000n), Stop.MMIO_READ],
    [() => machine.mmu.inlineStore(0x9000n, 1n), Stop.MMIO_WRITE],
  ] as const) {
    access()
    assert.equal(machine.control.stop, stop)
  }
  machine.context.cr3 = BigInt(20 * LEAF_ENTRIES << 12)
  machine.memory.flushAll()
  expectFault(machine, () => machine.memory.read(0x9000n, 1, false), 9, 0x9000n)
})

test('a page table in a hole reads as ones', () => {
  const machine = new TestMachine().longMode()
  const top = machine.frame()
  machine.setP2m(top, P2M_HOLE)
  machine.context.cr3 = BigInt(top << 12)
  expectFault(machine, () => machine.memory.read(0x1000n, 1, false), 9, 0x1000n)
})

test('stores to a code frame are announced until its mark is cleared', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  machine.map(0xa000n, BigInt(frame) | PRESENT | RW | D)
  assert.equal(machine.mmu.inlineStore(0xa000n, 1n), 0)
  machine.markCode(machine.at(frame))
  assert.equal(machine.mmu.inlineStore(0xa008n, 2n), 0)
  assert.equal(machine.mmu.inlineAdd(0xa008n, 2n), 0)
  assert.deepEqual(machine.codeWrites, [[machine.at(frame) + 8, 8], [machine.at(frame) + 8, 8]])
  assert.equal(machine.read64(frame + 8), 4n)
  machine.mmu.clearCode(machine.at(frame))
  assert.equal(machine.mmu.inlineStore(0xa010n, 3n), 0)
  assert.equal(machine.mmu.inlineStore(0xa010n, 3n), 0)
  assert.equal(machine.codeWrites.length, 2)
})

test('a store to a code frame is announced only when it touches a line with code', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  machine.map(0xa000n, BigInt(frame) | PRESENT | RW | D)
  machine.markCode(machine.at(frame), 1n << 63n | 2n)
  const touched = (offset: bigint): boolean => {
    machine.codeWrites.length = 0
    assert.equal(machine.mmu.inlineStore(0xa000n + offset, 1n), 0)
    return machine.codeWrites.length > 0
  }
  const cases = [
    [0x00n, false], [0x38n, false], [0x39n, true], [0x40n, true], [0x7fn, true], [0x80n, false],
    [0xfb8n, false], [0xfb9n, true], [0xff8n, true],
  ] as const
  for (const [offset, expected] of cases) assert.equal(touched(offset), expected, `${offset}`)
})

test('flushes forget what they should, and keep global pages', () => {
  const machine = new TestMachine().longMode()
  const one = machine.frame() << 12
  const two = machine.frame() << 12
  machine.write64(two, 2n)
  machine.write64(one, 1n)
  const pages = [[0x10000n, 0n], [0x20000n, G]] as const
  const remap = (frame: number): void => {
    for (const [linear, global] of pages) machine.map(linear, BigInt(frame) | PRESENT | global | D)
  }
  const seen = (): bigint[] => pages.flatMap(([linear]) => [
    machine.mmu.inlineLoad(linear),
    BigInt(machine.machine.getUint8(Number(
      (machine.context.cpl = 0, machine.mmu.execTranslate(linear))))),
  ])
  remap(one)
  assert.deepEqual(seen(), [1n, 1n, 1n, 1n])
  remap(two)
  assert.deepEqual(seen(), [1n, 1n, 1n, 1n])
  machine.memory.flushNonGlobal()
  assert.deepEqual(seen(), [2n, 2n, 1n, 1n])
  machine.memory.flushPage(0x20fffn)
  assert.deepEqual(seen(), [2n, 2n, 2n, 2n])
  remap(one)
  machine.memory.flushAll()
  assert.deepEqual(seen(), [1n, 1n, 1n, 1n])
})

test('INVLPG forgets all of a large page', () => {
  for (const [shift, size] of [[21, 0x20_0000n], [30, 0x4000_0000n]] as const) {
    const machine = new TestMachine().longMode()
    const linear = 0x40_0000_0000n
    machine.map(linear, PRESENT | RW | 0x80n, shift)
    const other = linear + 0x6000n
    assert.equal(machine.mmu.walk(other, 0), BigInt(machine.at(0x6000)))
    assert.equal(machine.mmu.walk(other, Access.EXEC), BigInt(machine.at(0x6000)))
    machine.map(linear, 0n, shift)
    machine.memory.flushPage(linear + size / 2n - 1n)
    assert.equal(machine.mmu.translate(other, 0), -1n)
    assert.equal(machine.mmu.execTranslate(other), -1n)
  }
})

test('supervisor access to user pages under SMAP goes by EFLAGS.AC', () => {
  const machine = new TestMachine().longMode()
  machine.context.cr4 |= 1n << 21n
  const frame = machine.frame() << 12
  machine.map(0xb000n, BigInt(frame) | PRESENT | RW | USER | D)
  expectFault(machine, () => machine.memory.read(0xb000n, 8, false), 1, 0xb000n)
  machine.context.systemFlags = 1n << 18n
  assert.equal(machine.mmu.inlineStore(0xb000n, 3n), 0)
  assert.equal(machine.mmu.inlineLoad(0xb000n), 3n)
  const fills = machine.fills()
  assert.equal(machine.mmu.inlineLoad(0xb000n), 3n)
  assert.equal(machine.fills(), fills)
  machine.context.systemFlags = 0n
  assert.equal(machine.mmu.inlineLoad(0xb000n), 0n)
  assert.equal(machine.mmu.status(), Stop.FAULT)
  machine.context.systemFlags = 1n << 18n
  machine.context.cpl = 3
  expectFault(machine, () => machine.memory.read(0xb000n, 8, false), 1, 0xb000n)
  assert.equal(machine.memory.read(0xb000n, 8, true), 3n)
})

test('a probe has no side effects', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  const leaf = machine.map(0xc000n, BigInt(frame) | PRESENT | RW)
  assert.equal(machine.memory.translate(0xc123n, true, false), machine.at(frame) + 0x123)
  assert.equal(machine.memory.translate(0xc123n, true, true), -1)
  assert.equal(machine.memory.translate(0xd123n, false, false), -1)
  assert.equal(machine.read64(leaf), BigInt(frame) | PRESENT | RW)
  assert.equal(machine.fills(), 0)
  assert.equal(machine.control.faultVector, -1)
})

test('reaching a page for the guest marks it, and one that is not there does not fault', () => {
  const machine = new TestMachine().longMode()
  const frame = machine.frame() << 12
  const leaf = machine.map(0xc000n, BigInt(frame) | PRESENT | RW)
  assert.equal(machine.memory.reach(0xc123n, true, false), machine.at(frame) + 0x123)
  assert.equal(machine.read64(leaf), BigInt(frame) | PRESENT | RW | A | D)
  assert.equal(machine.memory.reach(0xd123n, true, false), -1)
})

test('full logs empty their tables, and the accesses go on', () => {
  const machine = new TestMachine().longMode()
  // Two views of the same memory, page by page at the same places of the tables.
  for (const base of [0n, 1n << 30n]) machine.map(base, PRESENT | RW | D | 0x80n, 30)
  for (let round = 0; round < 12; round++) {
    machine.mmu.inlineSum(BigInt(round & 1) << 30n, 0x1000n, 0x1000)
    assert.equal(machine.mmu.status(), 0)
  }
  assert.ok(machine.control.localCount <= LOCAL_LOG_ENTRIES)
  const frame = machine.frame() << 12
  const linear = 0x70_0000_0000n
  machine.map(linear, BigInt(frame) | PRESENT | RW | USER | D)
  machine.write64(frame, 5n)
  machine.setCpl(3)
  for (let round = 0; round < SET_LOG_ENTRIES; round++) {
    assert.equal(machine.mmu.inlineLoad(linear), 5n)
    machine.mmu.flushPage(linear)
  }
  assert.ok(machine.fills() <= 2 * SET_LOG_ENTRIES)
})
