/**
 * Slow accesses of every width at every offset around a page border, over every pair of kinds of
 * page, against a model in bytes. MMIO is answered and replayed as the processor does it.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { MMIO_ANSWERS, Stop } from '../core-memory.ts'
import {
  P2M_GRANT_RO, P2M_GRANT_RW, P2M_HOLE, P2M_MMIO, P2M_RAM_RO, P2M_RAM_RW,
} from '../p2m-format.ts'
import { Access } from './environment.ts'
import { TestMachine } from './test-machine.ts'

type Kind = 'memory' | 'grant' | 'read-only' | 'read-only grant' | 'device' | 'hole' | 'absent' |
  'code'

const p2mTypes: Readonly<Record<Kind, number>> = {
  memory: P2M_RAM_RW, grant: P2M_GRANT_RW, 'read-only': P2M_RAM_RO,
  'read-only grant': P2M_GRANT_RO, device: P2M_MMIO, hole: P2M_HOLE, absent: P2M_RAM_RW,
  code: P2M_RAM_RW,
}
const kinds = Object.keys(p2mTypes) as Kind[]
const OUTSIDE_READ: readonly Kind[] = ['device', 'hole']
const OUTSIDE_WRITE: readonly Kind[] = [...OUTSIDE_READ, 'read-only', 'read-only grant']

const BORDER = 0x2000
const deviceByte = (physical: number): number => physical * 7 + (physical >> 8) & 0xff

class Border {
  readonly machine = new TestMachine().longMode()
  readonly kinds: readonly [Kind, Kind]
  readonly frames: readonly number[]
  /** Bytes written to devices, by guest-physical address. */
  readonly written = new Map<number, number>()

  constructor(first: Kind, second: Kind) {
    this.kinds = [first, second]
    this.frames = this.kinds.map((kind, i) => {
      const gfn = this.machine.frame()
      const linear = BigInt(BORDER - 0x1000 + i * 0x1000)
      this.machine.map(linear, BigInt(gfn << 12) | (kind === 'absent' ? 2n : 3n))
      this.machine.setP2m(gfn, p2mTypes[kind])
      if (kind === 'code') this.machine.markCode(this.machine.at(gfn << 12))
      return gfn << 12
    })
  }

  /** Page and guest-physical address of a linear one. */
  place(linear: number): [Kind, number] {
    const second = linear >= BORDER ? 1 : 0
    return [this.kinds[second], this.frames[second]! + (linear & 0xfff)]
  }

  byte(physical: number): number {
    return this.machine.machine.getUint8(this.machine.at(physical))
  }

  reset(): void {
    this.written.clear()
    for (const frame of this.frames) {
      for (let i = 0; i < 0x20; i++) {
        this.machine.machine.setUint8(this.machine.at(frame) + i, i)
        this.machine.machine.setUint8(this.machine.at(frame) + 0xfe0 + i, 0xe0 + i)
      }
    }
    this.machine.mmu.flushAll()
  }

  /** Repeats `access` while MMIO stops it, answering; the status that it ends with. */
  run(access: () => number): number {
    const { control } = this.machine
    control.replayCount = 0
    for (;;) {
      control.replayIndex = 0
      const status = access()
      if (status !== Stop.MMIO_READ && status !== Stop.MMIO_WRITE) return status
      assert.equal(control.stop, status)
      const at = Number(control.accessAddress)
      let answer = 0n
      for (let i = 0; i < control.accessSize; i++) {
        answer |= BigInt(deviceByte(at + i)) << BigInt(i * 8)
        if (status === Stop.MMIO_READ) continue
        this.written.set(at + i, Number(control.accessValue >> BigInt(i * 8) & 0xffn))
      }
      control.replayValues.set(control.replayCount++, answer)
      assert.ok(control.replayCount <= 16)
    }
  }

  load(linear: number, width: number): [status: number, value: bigint] {
    const { mmu, vector } = this.machine
    let value = 0n
    const loads = { 8: mmu.load8, 16: mmu.load16, 32: mmu.load32, 64: mmu.load64 }
    const status = this.run(() => {
      if (width === 128) return mmu.loadVector(BigInt(linear), 0)
      value = loads[width as 8](BigInt(linear), 0)
      return mmu.status()
    })
    if (width === 128) {
      value = vector.getBigUint64(0, true) | vector.getBigUint64(8, true) << 64n
    }
    return [status, BigInt.asUintN(width, value)]
  }

  store(linear: number, width: number, value: bigint): number {
    const { mmu, vector } = this.machine
    vector.setBigUint64(0, value, true)
    vector.setBigUint64(8, value >> 64n, true)
    const stores = { 8: mmu.store8, 16: mmu.store16, 32: mmu.store32, 64: mmu.store64 }
    return this.run(() => width === 128 ? mmu.storeVector(BigInt(linear), 0)
      : stores[width as 8](BigInt(linear), BigInt.asIntN(64, value), 0))
  }

  checkLoad(linear: number, width: number): void {
    const places = Array.from({ length: width / 8 }, (_, i) => this.place(linear + i))
    const [status, value] = this.load(linear, width)
    if (places.some(([kind]) => kind === 'absent')) {
      this.#expectFault(status, linear, 0)
      return
    }
    const expected = places.reduceRight((sum, [kind, physical]) => sum << 8n | BigInt(
      OUTSIDE_READ.includes(kind) ? deviceByte(physical) : this.byte(physical)), 0n)
    assert.equal(status, 0)
    assert.equal(value, expected)
  }

  checkStore(linear: number, width: number): void {
    const value = 0xa0b1_c2d3_e4f5_0617_2839_4a5b_6c7d_8e9fn
    const places = Array.from({ length: width / 8 }, (_, i) => this.place(linear + i))
    const before = places.map(([, physical]) => this.byte(physical))
    const status = this.store(linear, width, value)
    const faults = places.some(([kind]) => kind === 'absent')
    if (faults) this.#expectFault(status, linear, 2)
    else assert.equal(status, 0)
    places.forEach(([kind, physical], i) => {
      const wanted = Number(value >> BigInt(i * 8) & 0xffn)
      const outside = OUTSIDE_WRITE.includes(kind)
      assert.equal(this.byte(physical), faults || outside ? before[i] : wanted)
      assert.equal(this.written.get(physical), outside && !faults ? wanted : undefined)
    })
  }

  #expectFault(status: number, linear: number, code: number): void {
    const { control } = this.machine
    assert.equal(status, Stop.FAULT)
    assert.equal(control.faultErrorCode, code)
    const first = this.place(linear)[0] === 'absent'
    assert.equal(control.faultAddress, BigInt(first ? linear : BORDER))
  }
}

for (const first of kinds) {
  test(`loads and stores from ${first} into every other kind of page`, () => {
    for (const second of kinds) {
      const border = new Border(first, second)
      for (const width of [8, 16, 32, 64, 128]) {
        for (let linear = BORDER - 18; linear < BORDER + 2; linear++) {
          border.reset()
          border.checkLoad(linear, width)
          border.checkStore(linear, width)
          border.checkLoad(linear, width)
        }
      }
    }
  })
}

test('outside long mode an access wraps from 4 GiB to 0', () => {
  const machine = new TestMachine()
  machine.write32(0, 0x4433)
  machine.setP2m(0, P2M_RAM_RW)
  assert.throws(() => machine.memory.read(0xffff_fffen, 4, false),
    (error) => error === machine.exit)
  assert.equal(machine.control.accessAddress, 0xffff_fffen)
  machine.control.replayCount = 2
  machine.control.replayValues.set(0, 0x11n)
  machine.control.replayValues.set(1, 0x22n)
  assert.equal(machine.memory.read(0xffff_fffen, 4, false), 0x4433_2211n)
})

test('each of the many accesses of one instruction has an answer of its own', () => {
  const machine = new TestMachine().longMode()
  const gfn = machine.frame()
  machine.setP2m(gfn, P2M_MMIO)
  machine.map(0x9000n, BigInt(gfn << 12) | 3n)
  const { control } = machine
  control.replayCount = MMIO_ANSWERS
  for (let i = 0; i < MMIO_ANSWERS; i++) control.replayValues.set(i, BigInt(i))
  for (let i = 0; i < MMIO_ANSWERS; i++) {
    assert.equal(machine.memory.read(0x9000n, 8, false), BigInt(i))
  }
})

test('a store by compiled code to decoded code stores nothing and asks for a retry', () => {
  for (const [first, second, at] of [
    ['code', 'memory', 0x1800], ['code', 'memory', BORDER - 3], ['memory', 'code', BORDER - 3],
    ['memory', 'code', BORDER - 8],
  ] as const) {
    const border = new Border(first, second)
    const { machine } = border
    const { mmu, control } = machine
    const linear = BigInt(at)
    const attempts: readonly (() => number | bigint)[] = [
      () => mmu.store64(linear, -1n, Access.COMPILED),
      () => mmu.storeVector(linear, Access.COMPILED),
      () => mmu.probeWrite(linear, 16, Access.COMPILED),
    ]
    machine.vector.setBigUint64(0, -1n, true)
    for (const attempt of attempts) {
      border.reset()
      const before = border.frames.map((frame) => [0, 0x800, 0xff8].map((offset) =>
        machine.read64(frame + offset)))
      machine.codeWrites.length = 0
      control.stop = 0
      const touched = attempt !== attempts[0] || at !== BORDER - 8
      attempt()
      assert.equal(mmu.status(), touched ? Stop.RETRY : 0)
      assert.equal(control.stop, touched ? Stop.RETRY : 0)
      assert.equal(machine.codeWrites.length, touched ? 1 : 0)
      if (!touched) continue
      assert.deepEqual(before, border.frames.map((frame) => [0, 0x800, 0xff8].map((offset) =>
        machine.read64(frame + offset))))
    }
    for (const frame of border.frames) mmu.clearCode(machine.at(frame))
    for (const attempt of attempts) {
      attempt()
      assert.equal(mmu.status(), 0)
    }
  }
})
