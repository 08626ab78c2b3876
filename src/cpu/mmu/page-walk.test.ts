/**
 * The page walk and the TLBs against a second opinion: every combination of R/W, U/S and NX at
 * every level, of CR0.WP, SMEP, SMAP, EFER.NXE, EFLAGS.AC, CPL and kind of access; every single
 * reserved bit; every level not present. The oracle reads the tables of AMD APM 2, chapter 5.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Access } from './environment.ts'
import { TestMachine } from './test-machine.ts'

/** A level of a paging mode. `reserved` are ranges of bits that must be zero. */
interface Level {
  readonly index: readonly [shift: number, bits: number]
  readonly reserved: string
  /** The entry has R/W, U/S, A (and NX where there is NX). */
  readonly checked: boolean
}

interface Mode {
  readonly name: string
  readonly levels: readonly Level[]
  readonly bytes: 4 | 8
  readonly cr4: bigint
  readonly efer: bigint
  /** Bits that make the last level a leaf: PS for large pages. */
  readonly leafBits: bigint
  readonly pageShift: number
  readonly linear: bigint
}

const LONG = '51:36'
const PAE = '62:36'

function level(shift: number, bits: number, reserved: string, checked = true): Level {
  return { index: [shift, bits], reserved, checked }
}

const pml4 = level(39, 9, `${LONG} 8:7`)
const pdp = level(30, 9, LONG)
const legacyPdp = level(30, 2, `63:63 ${PAE} 8:5 2:1`, false)

function mode(
  name: string, bytes: 4 | 8, levels: readonly Level[], pageShift: number, linear: bigint,
): Mode {
  const long = levels[0] === pml4
  return {
    name, levels, bytes, pageShift, linear,
    cr4: bytes === 8 ? 0x20n : 0x10n,
    efer: long ? 0x500n : 0n,
    leafBits: pageShift > 12 ? 0x80n : 0n,
  }
}

const modes: readonly Mode[] = [
  mode('32-bit, 4 KiB', 4, [level(22, 10, ''), level(12, 10, '')], 12, 0x8123_4567n),
  mode('32-bit, 4 MiB', 4, [level(22, 10, '21:17')], 22, 0x8123_4567n),
  mode('PAE, 4 KiB', 8, [legacyPdp, level(21, 9, PAE), level(12, 9, PAE)], 12, 0xc123_4567n),
  mode('PAE, 2 MiB', 8, [legacyPdp, level(21, 9, `${PAE} 20:13`)], 21, 0xc123_4567n),
  mode('long, 4 KiB', 8, [pml4, pdp, level(21, 9, LONG), level(12, 9, LONG)], 12,
    0xffff_8123_4567_89abn),
  mode('long, 2 MiB', 8, [pml4, pdp, level(21, 9, `${LONG} 20:13`)], 21, 0x7123_4567_89abn),
  mode('long, 1 GiB', 8, [pml4, level(30, 9, `${LONG} 29:13`)], 30, 0x7123_4067_89abn),
]

function maskOf(ranges: string): bigint {
  let mask = 0n
  for (const range of ranges.split(' ').filter(Boolean)) {
    const [high, low] = range.split(':').map(BigInt) as [bigint, bigint]
    mask |= (1n << high + 1n) - (1n << low)
  }
  return mask
}

interface Environment {
  wp: boolean
  smep: boolean
  smap: boolean
  nxe: boolean
  ac: boolean
}

type Kind = 'read' | 'write' | 'execute'

interface Actor {
  readonly name: string
  readonly user: boolean
  readonly implicit: boolean
  readonly cpl: number
  readonly flags: number
}

const actors: readonly Actor[] = [
  { name: 'user', user: true, implicit: false, cpl: 3, flags: Access.USER },
  { name: 'supervisor', user: false, implicit: false, cpl: 0, flags: 0 },
  { name: 'CPL 0 implicitly', user: false, implicit: true, cpl: 0, flags: Access.IMPLICIT },
  { name: 'CPL 3 implicitly', user: false, implicit: true, cpl: 3, flags: 0 },
]

/** The error code of the page fault, or undefined. */
function faultOf(
  paging: Mode, entries: readonly bigint[], env: Environment, actor: Actor, kind: Kind,
): number | undefined {
  const fetchReported = env.smep || env.nxe && paging.bytes === 8
  const code = (kind === 'write' ? 2 : 0) + (actor.user ? 4 : 0) +
    (kind === 'execute' && fetchReported ? 16 : 0)
  for (const [i, entry] of entries.entries()) {
    const { reserved, checked } = paging.levels[i]!
    if ((entry & 1n) === 0n) return code
    let zero = maskOf(reserved)
    if (paging.bytes === 8 && checked && !env.nxe) zero |= 1n << 63n
    if (entry & zero) return code | 9
  }
  const checked = entries.filter((_, i) => paging.levels[i]!.checked)
  const userPage = checked.every((entry) => entry & 4n)
  const writable = checked.every((entry) => entry & 2n)
  const noExecute = paging.bytes === 8 && checked.some((entry) => entry >> 63n)
  const smapApplies = env.smap && (actor.implicit || !env.ac)
  const allowed = {
    read: actor.user ? userPage : !userPage || !smapApplies,
    write: actor.user ? userPage && writable
      : (!userPage || !smapApplies) && (writable || !env.wp),
    execute: !noExecute && (actor.user ? userPage : !userPage || !env.smep),
  }[kind]
  return allowed ? undefined : code | 1
}

class Bench {
  readonly machine = new TestMachine()
  readonly mode: Mode
  readonly frames: readonly number[]
  readonly page: bigint

  constructor(paging: Mode) {
    this.mode = paging
    const { context } = this.machine
    this.frames = paging.levels.map(() => this.machine.frame() << 12)
    this.page = paging.pageShift === 12 ? BigInt(this.machine.frame() << 12) : 0n
    context.cr3 = BigInt(this.frames[0]!)
  }

  at(i: number): number {
    const [shift, bits] = this.mode.levels[i]!.index
    const index = this.mode.linear >> BigInt(shift) & (1n << BigInt(bits)) - 1n
    return this.frames[i]! + Number(index) * this.mode.bytes
  }

  /** Entries that map the page with no permission but presence, with `bits[i]` added. */
  entries(bits: readonly bigint[]): bigint[] {
    return bits.map((more, i) => {
      const last = i === bits.length - 1
      const target = last ? this.page | this.mode.leafBits : BigInt(this.frames[i + 1]!)
      return target | 1n | more
    })
  }

  write(entries: readonly bigint[]): void {
    entries.forEach((entry, i) => {
      if (this.mode.bytes === 8) this.machine.write64(this.at(i), entry)
      else this.machine.write32(this.at(i), Number(entry))
    })
  }

  read(i: number): bigint {
    return this.mode.bytes === 8 ? this.machine.read64(this.at(i))
      : BigInt(this.machine.read32(this.at(i)))
  }

  set(env: Environment): void {
    const { context } = this.machine
    context.cr0 = 0x8000_0001n | (env.wp ? 1n << 16n : 0n)
    context.cr4 = this.mode.cr4 | (env.smep ? 1n << 20n : 0n) | (env.smap ? 1n << 21n : 0n)
    context.efer = this.mode.efer | (env.nxe ? 1n << 11n : 0n)
    context.systemFlags = env.ac ? 1n << 18n : 0n
  }

  access(actor: Actor, kind: Kind): bigint {
    const { mmu } = this.machine
    this.machine.setCpl(actor.cpl)
    const linear = BigInt.asIntN(64, this.mode.linear)
    if (kind === 'execute') return mmu.execTranslate(linear)
    return mmu.translate(linear, actor.flags | (kind === 'write' ? Access.WRITE : 0))
  }

  /** Makes one access and compares; true when it was allowed. */
  check(entries: readonly bigint[], env: Environment, actor: Actor, kind: Kind): boolean {
    const { control } = this.machine
    const place = this.access(actor, kind)
    const expected = faultOf(this.mode, entries, env, actor, kind)
    const seen = place === -1n ? control.faultErrorCode : undefined
    if (seen !== expected) {
      assert.fail(`${this.mode.name}: ${actor.name} ${kind}: error code ${seen}, not ` +
        `${expected}; ${JSON.stringify(env)} ${entries.map((e) => e.toString(16)).join()}`)
    }
    if (place === -1n) {
      if (control.faultVector !== 14) assert.fail(`vector ${control.faultVector}`)
      return false
    }
    const offset = this.mode.linear & (1n << BigInt(this.mode.pageShift)) - 1n
    const page = this.machine.at(Number(this.page | offset))
    // Large pages reach beyond the small machine's memory, as exits.
    if (place !== BigInt(page) && place !== -2n) assert.fail(`${this.mode.name}: at ${place}`)
    return true
  }
}

const booleans = [false, true]
const fixedParts = booleans.flatMap((smep) => booleans.flatMap((smap) =>
  booleans.map((nxe) => ({ smep, smap, nxe }))))
const variedParts = booleans.flatMap((wp) => booleans.map((ac) => ({ wp, ac })))
const environments: readonly Environment[] = fixedParts.flatMap((fixed) =>
  variedParts.map((varied) => ({ ...fixed, ...varied })))

const kinds: readonly Kind[] = ['read', 'execute', 'write']
/** Code is never fetched implicitly. */
const accesses = kinds.flatMap((kind) => actors
  .filter(({ implicit }) => kind !== 'execute' || !implicit)
  .map((actor) => [kind, actor] as const))

/** All ways to have R/W, U/S and NX at each level that has them. */
function permissions(paging: Mode): bigint[][] {
  const choices = [0n, 2n, 4n, 6n].flatMap((bits) =>
    paging.bytes === 8 ? [bits, bits | 1n << 63n] : [bits])
  return paging.levels.reduce<bigint[][]>((made, { checked }) => made.flatMap((bits) =>
    checked ? choices.map((choice) => [...bits, choice]) : [[...bits, 0n]]), [[]])
}

for (const paging of modes) {
  test(`${paging.name}: every permission, environment and access, through warm TLBs`, () => {
    const bench = new Bench(paging)
    const { mmu } = bench.machine
    for (const bits of permissions(paging)) {
      const entries = bench.entries(bits)
      for (const fixed of fixedParts) {
        bench.write(entries)
        mmu.flushAll()
        let read = false
        let written = false
        // WP and AC change without a flush: nothing that depends on them is remembered.
        for (const varied of variedParts) {
          const env = { ...fixed, ...varied }
          bench.set(env)
          for (const [kind, actor] of accesses) {
            const allowed = bench.check(entries, env, actor, kind)
            read ||= allowed
            written ||= allowed && kind === 'write'
          }
        }
        entries.forEach((entry, i) => {
          const accessed = read && paging.levels[i]!.checked ? 0x20n : 0n
          const dirty = written && i === entries.length - 1 ? 0x40n : 0n
          assert.equal(bench.read(i), entry | accessed | dirty, `${paging.name}: A and D`)
        })
      }
    }
  })

  test(`${paging.name}: every bit of every entry, one by one`, () => {
    const bench = new Bench(paging)
    const { mmu } = bench.machine
    for (const env of environments) {
      bench.set(env)
      for (let i = 0; i < paging.levels.length; i++) {
        for (let bit = 0; bit < paging.bytes * 8; bit++) {
          // Bits of the address lead elsewhere, and PS changes what the level is.
          const last = i === paging.levels.length - 1
          if (bit >= 12 && bit < 36 && !(last && paging.pageShift > 12 && bit < 22)) continue
          if (bit === 12 || last && bit >= paging.pageShift && bit < 36) continue
          if (paging.bytes === 4 && last && bit >= 13 && bit < 17) continue
          if (bit === 7 && (last || paging.levels[i] !== pml4)) continue
          const bits = paging.levels.map(({ checked }) => checked ? 6n : 0n)
          const entries = bench.entries(bits)
          entries[i] = entries[i]! ^ 1n << BigInt(bit)
          for (const [kind, actor] of accesses) {
            bench.write(entries)
            mmu.flushAll()
            bench.check(entries, env, actor, kind)
          }
        }
      }
    }
  })
}

test('a 4 MiB page has its physical address bits 32 to 35 in bits 13 to 16 (PSE-36)', () => {
  const bench = new Bench(modes[1]!)
  bench.set({ wp: true, smep: false, smap: false, nxe: false, ac: false })
  bench.write([0x80c0_0083n | 0xan << 13n])
  assert.equal(bench.access(actors[1]!, 'read'), -2n)
  assert.equal(bench.machine.control.accessAddress, 0xa_80c0_0000n | 0x8123_4567n & 0x3f_ffffn)
})

test('without CR4.PSE, bit 7 of a 32-bit directory entry means nothing', () => {
  const bench = new Bench(modes[0]!)
  const env = { wp: true, smep: false, smap: false, nxe: false, ac: false }
  bench.set(env)
  bench.machine.context.cr4 = 0n
  const entries = bench.entries([0x82n, 2n])
  bench.write(entries)
  assert.ok(bench.check(entries, env, actors[1]!, 'write'))
})
