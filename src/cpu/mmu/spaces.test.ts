/**
 * Address spaces: which translations survive what (Intel SDM 3A, 4.10.4.1; AMD APM 2, 5.5), and a
 * model of what may be seen after random changes, flushes and switches.
 */
import { test } from 'node:test'
import { SeededRandom } from '../../base/seeded-random.ts'
import assert from 'node:assert/strict'
import { TLB_SETS } from '../core-memory.ts'
import { Access } from './environment.ts'
import { TestMachine } from './test-machine.ts'

const PRESENT_RW = 3n
const USER = 4n
const LARGE = 0x80n
const GLOBAL = 0x100n
const A_D = 0x60n
const PCIDE = 1n << 17n

/** Several address spaces of one kernel: a user page, and a global page of the kernel. */
class Spaces {
  readonly machine = new TestMachine().longMode()
  readonly #top = new Map<number, bigint>()
  readonly #frames = Array.from({ length: 64 }, () => this.machine.frame() << 12)

  constructor() {
    this.machine.context.cr4 |= PCIDE
    this.#frames.forEach((frame, n) => this.machine.write64(frame, BigInt(n)))
  }

  /** Maps a page of a space to the frame with a number. */
  map(pcid: number, linear: bigint, frame: number, bits: bigint, shift: 12 | 21 = 12): void {
    const { context } = this.machine
    const before = context.cr3
    context.cr3 = this.#topOf(pcid)
    const entry = shift === 12 ? BigInt(this.#frames[frame]!) : BigInt(frame) << 21n
    this.machine.map(linear, entry | PRESENT_RW | A_D | bits, shift)
    context.cr3 = before
  }

  #topOf(pcid: number): bigint {
    const top = this.#top.get(pcid) ?? BigInt(this.machine.frame() << 12)
    this.#top.set(pcid, top)
    return top
  }

  switch(pcid: number, keep: boolean): void {
    this.machine.context.cr3 = this.#topOf(pcid) | BigInt(pcid)
    this.machine.memory.switchSpace(pcid, keep)
  }

  /** The number of the frame that loads and stores reach, or -1 when they fault. */
  see(linear: bigint, user: boolean): number {
    const { machine } = this
    machine.setCpl(user ? 3 : 0)
    const loaded = Number(machine.mmu.inlineLoad(linear))
    if (machine.mmu.status() !== 0) return -1
    const place = machine.mmu.translate(linear, Access.WRITE | (user ? Access.USER : 0))
    assert.equal(this.#numberAt(place), loaded)
    return loaded
  }

  /** Those that all these reach, and loads that ask the micro-TLB. */
  seen(linear: bigint): number[] {
    const found = [this.see(linear, linear >= 0n), this.fetch(linear)]
    return [...found, Number(this.machine.mmu.microLoad(linear))]
  }

  /** The number of the frame that fetches reach at the same privilege level. */
  fetch(linear: bigint): number {
    return this.#numberAt(this.machine.mmu.execTranslate(linear))
  }

  #numberAt(machine: bigint): number {
    return Number(this.machine.machine.getBigUint64(Number(machine), true))
  }
}

const PAGE = 0x7f12_3456_7000n
const KERNEL = BigInt.asIntN(64, 0xffff_8880_0000_3000n)

/** Pages of two spaces and a global one are known by frames 1, 2 and 3, and mapped elsewhere. */
function changed(): Spaces {
  const spaces = new Spaces()
  for (const [pcid, frame] of [[1, 1], [2, 2]] as const) {
    spaces.map(pcid, PAGE, frame, USER)
    spaces.map(pcid, KERNEL, 3, GLOBAL)
    spaces.switch(pcid, false)
    assert.equal(spaces.see(PAGE, true), frame)
    assert.equal(spaces.see(KERNEL, false), 3)
  }
  for (const pcid of [1, 2]) {
    spaces.map(pcid, PAGE, 10 + pcid, USER)
    spaces.map(pcid, KERNEL, 13, GLOBAL)
  }
  return spaces
}

/** What is seen of the pages in space 1, in space 2, and of the global page. */
function seen(spaces: Spaces): readonly number[] {
  return [1, 2].map((pcid) => {
    spaces.switch(pcid, true)
    return spaces.see(PAGE, true)
  }).concat(spaces.see(KERNEL, false))
}

const OLD = [1, 2, 3]

test('loading CR3 with bit 63 keeps everything', () => {
  const spaces = changed()
  assert.deepEqual(seen(spaces), OLD)
  assert.equal(spaces.fetch(KERNEL), 13)
})

test('fetches know spaces apart, and share global pages', () => {
  const spaces = changed()
  for (const [pcid, frame] of [[2, 12], [1, 11], [2, 12]] as const) {
    spaces.switch(pcid, true)
    spaces.machine.setCpl(3)
    assert.equal(spaces.fetch(PAGE), frame)
  }
  spaces.machine.setCpl(0)
  assert.equal(spaces.fetch(KERNEL), 13)
  spaces.map(1, KERNEL, 14, GLOBAL)
  spaces.map(2, KERNEL, 14, GLOBAL)
  spaces.switch(1, false)
  assert.equal(spaces.fetch(KERNEL), 13, 'still known')
  spaces.machine.memory.flushPage(KERNEL)
  assert.equal(spaces.fetch(KERNEL), 14)
})

test('loading CR3 without bit 63 forgets what is not global of the space it names', () => {
  const spaces = changed()
  spaces.switch(1, false)
  assert.deepEqual(seen(spaces), [11, 2, 3])
})

test('INVPCID of types 0 to 3 forgets a page, a space, all, and all but global pages', () => {
  const cases: readonly [(spaces: Spaces) => void, readonly number[]][] = [
    [({ machine }) => machine.memory.flushPageOf(PAGE, 1), [11, 2, 3]],
    [({ machine }) => machine.memory.flushPageOf(PAGE, 2), [1, 12, 3]],
    [({ machine }) => machine.memory.flushPageOf(PAGE + 0x1000n, 1), OLD],
    [({ machine }) => machine.memory.flushPageOf(PAGE, 7), OLD],
    [({ machine }) => machine.memory.flushSpace(1), [11, 2, 3]],
    [({ machine }) => machine.memory.flushSpace(2), [1, 12, 3]],
    [({ machine }) => machine.memory.flushSpace(7), OLD],
    [({ machine }) => machine.memory.flushAll(), [11, 12, 13]],
    [({ machine }) => machine.memory.flushNonGlobal(), [11, 12, 3]],
  ]
  for (const [flush, expected] of cases) {
    const spaces = changed()
    flush(spaces)
    assert.deepEqual(seen(spaces), expected)
  }
})

test('INVLPG forgets a page of the space in use, and a global page of all', () => {
  const spaces = changed()
  spaces.machine.memory.flushPage(PAGE)
  spaces.machine.memory.flushPage(KERNEL)
  assert.deepEqual(seen(spaces), [1, 12, 13])
})

test('INVLPG of a global user page reaches every space', () => {
  const spaces = new Spaces()
  for (const pcid of [1, 2, 3]) {
    spaces.map(pcid, PAGE, 5, USER | GLOBAL)
    spaces.switch(pcid, false)
    assert.equal(spaces.see(PAGE, true), 5)
    spaces.map(pcid, PAGE, 6, USER | GLOBAL)
  }
  spaces.machine.memory.flushPage(PAGE)
  for (const pcid of [1, 2, 3]) {
    spaces.switch(pcid, true)
    assert.equal(spaces.see(PAGE, true), 6)
  }
})

test('a page of the kernel that is not global is another in another space', () => {
  const spaces = new Spaces()
  for (const pcid of [1, 2]) {
    spaces.map(pcid, KERNEL, pcid, 0n)
    spaces.switch(pcid, false)
    assert.equal(spaces.see(KERNEL, false), pcid)
  }
  spaces.switch(1, true)
  assert.equal(spaces.see(KERNEL, false), 1)
})

test('more spaces than sets of tables see their own pages, and other vcpus theirs', () => {
  const spaces = new Spaces()
  const { memory } = spaces.machine
  for (let pcid = 0; pcid < 2 * TLB_SETS; pcid++) spaces.map(pcid, PAGE, pcid, USER)
  for (let round = 0; round < 3; round++) {
    for (const owner of [0, 1]) {
      memory.switchOwner(owner, 0)
      for (let pcid = owner; pcid < 2 * TLB_SETS; pcid += 2) {
        spaces.switch(pcid, true)
        assert.equal(spaces.see(PAGE, true), pcid)
      }
    }
  }
})

test('an owner finds its translations again, and no other does', () => {
  const spaces = changed()
  const { memory } = spaces.machine
  memory.switchOwner(1, 2)
  assert.deepEqual(seen(spaces), [11, 12, 13])
  memory.switchOwner(0, 2)
  assert.deepEqual(seen(spaces), OLD)
})

test('flushes forget nothing of other owners', () => {
  const flushes: readonly ((spaces: Spaces) => void)[] = [
    ({ machine }) => machine.memory.flushAll(),
    ({ machine }) => machine.memory.flushNonGlobal(),
    ({ machine }) => machine.memory.flushSpace(1),
    (spaces) => spaces.switch(1, false),
    ({ machine }) => machine.memory.flushPage(PAGE),
    ({ machine }) => machine.memory.flushPageOf(PAGE, 1),
  ]
  for (const flush of flushes) {
    const spaces = changed()
    const { memory } = spaces.machine
    memory.switchOwner(1, 2)
    assert.deepEqual(seen(spaces), [11, 12, 13])
    flush(spaces)
    memory.switchOwner(0, 2)
    assert.deepEqual(seen(spaces), OLD)
    memory.flushAll()
    assert.deepEqual(seen(spaces), [11, 12, 13])
  }
})

test('an owner that flushes all leaves another\'s large pages known as such', () => {
  const spaces = new Spaces()
  const { machine } = spaces
  const REGION = 0x4000_0000n
  spaces.map(1, REGION, 1, USER | LARGE, 21)
  spaces.switch(1, false)
  machine.setCpl(3)
  const at = (): bigint => machine.mmu.translate(REGION + 0x5000n, Access.USER)
  const before = at()
  machine.memory.switchOwner(1, 1)
  machine.memory.flushAll()
  machine.memory.switchOwner(0, 1)
  spaces.map(1, REGION, 2, USER | LARGE, 21)
  assert.equal(at(), before)
  machine.memory.flushPage(REGION + 0x1f_f000n)
  assert.equal(at(), before + 0x20_0000n)
})

test('a page fault forgets what is known of its page', () => {
  const spaces = new Spaces()
  const { machine } = spaces
  spaces.map(1, PAGE, 1, USER)
  spaces.switch(1, false)
  machine.setCpl(3)
  assert.equal(machine.mmu.inlineLoad(PAGE), 1n)
  machine.markCode(Number(machine.mmu.translate(PAGE, Access.USER)))
  machine.map(PAGE, 0n)
  assert.equal(machine.mmu.inlineLoad(PAGE), 1n, 'still known')
  assert.notEqual(machine.mmu.inlineStore(PAGE, 9n), 0)
  assert.equal(spaces.see(PAGE, true), -1)
})

// Random operations against a model.

const PCIDS = [0, 1, 2, 5]
/** Two vcpus that use the same page tables. */
const OWNERS = [0, 3]
/** Pages that share entries of the tables, in regions that are mapped as one or in pieces. */
const PAGES = [
  0x20_0000n, 0x20_1000n, 0x420_1000n, 0x8420_1000n, 0x4020_0020_0000n, 0x2020_1000n,
]
const KERNEL_PAGES = [KERNEL, KERNEL + (1n << 26n), KERNEL + (1n << 40n)]

/** What each space may still know of each page: the frames that it was mapped to since the last
 * flush that reached it. */
class Model {
  readonly #known = new Map<string, Set<number>>()

  #key(pcid: number, linear: bigint): string {
    return `${linear < 0n ? 'kernel' : pcid} ${linear}`
  }

  known(pcid: number, linear: bigint): Set<number> {
    const key = this.#key(pcid, linear)
    const found = this.#known.get(key) ?? new Set()
    this.#known.set(key, found)
    return found
  }

  map(pcid: number, linear: bigint, frame: number): void {
    const known = this.known(pcid, linear)
    known.delete(frame)
    known.add(frame)
  }

  /** Only the newest frame remains known. */
  flush(matches: (pcid: number, linear: bigint) => boolean = () => true): void {
    for (const [key, frames] of this.#known) {
      const [who, where] = key.split(' ') as [string, string]
      if (!matches(who === 'kernel' ? -1 : Number(who), BigInt(where))) continue
      const newest = [...frames].at(-1)!
      frames.clear()
      frames.add(newest)
    }
  }
}

function randomOf(seed: number): (below: number) => number {
  const random = new SeededRandom(`${seed}`)
  return (below) => random.below(below)
}

test('after random changes, switches and flushes nothing is seen that was to be forgotten', () => {
  const seed = Number(process.env['SEED'] ?? 7)
  const random = randomOf(seed)
  const spaces = new Spaces()
  const models = new Map(OWNERS.map((owner) => [owner, new Model()]))
  let model = models.get(0)!
  const { memory } = spaces.machine
  let current = 0
  const map = (pcid: number, linear: bigint, frame: number): void => {
    const bits = linear < 0n ? GLOBAL : USER
    const reached = linear < 0n ? PCIDS : [pcid]
    for (const one of reached) spaces.map(one, linear, frame, bits)
    for (const one of models.values()) one.map(pcid, linear, frame)
  }
  const any = <T>(list: readonly T[]): T => list[random(list.length)]!
  for (const linear of KERNEL_PAGES) map(0, linear, random(64))
  for (const pcid of PCIDS) for (const linear of PAGES) map(pcid, linear, random(64))
  spaces.switch(0, false)
  const steps: readonly (() => void)[] = [
    () => map(any(PCIDS), any(PAGES), random(64)),
    () => map(0, any(KERNEL_PAGES), random(64)),
    () => spaces.switch(current = any(PCIDS), true),
    () => {
      const owner = any(OWNERS)
      model = models.get(owner)!
      memory.switchOwner(owner, current)
    },
    () => {
      spaces.switch(current = any(PCIDS), false)
      model.flush((pcid) => pcid === current)
    },
    () => {
      const page = any([...PAGES, ...KERNEL_PAGES])
      memory.flushPage(page)
      model.flush((pcid, linear) => linear === page && (pcid === current || pcid < 0))
    },
    () => {
      const [of, page] = [any(PCIDS), any(PAGES)]
      memory.flushPageOf(page, of)
      model.flush((pcid, linear) => linear === page && pcid === of)
    },
    () => {
      const of = any(PCIDS)
      memory.flushSpace(of)
      model.flush((pcid) => pcid === of)
    },
    () => {
      memory.flushNonGlobal()
      model.flush((pcid) => pcid >= 0)
    },
    () => (memory.flushAll(), model.flush()),
  ]
  const see = (): void => {
    const linear = any([...PAGES, ...KERNEL_PAGES])
    for (const frame of spaces.seen(linear)) {
      assert.ok(model.known(current, linear).has(frame),
        `seed ${seed}: ${linear.toString(16)} in ${current} is frame ${frame}`)
    }
  }
  for (let round = 0; round < 20_000; round++) {
    // Rare steps are the last ones: they leave little to be wrong.
    const step = random(8) === 0 ? random(steps.length) : random(6)
    steps[step]!()
    for (let i = 0; i < 3; i++) see()
  }
})

test('INVLPG in a region of large pages forgets their pieces and no other region', () => {
  const spaces = new Spaces()
  const REGION = 0x4000_0000n
  spaces.map(1, REGION, 1, USER | LARGE, 21)
  spaces.map(1, REGION + 0x40_0000n, 3, USER | LARGE, 21)
  spaces.switch(1, false)
  const { machine } = spaces
  machine.setCpl(3)
  const at = (offset: bigint): bigint => machine.mmu.translate(REGION + offset, Access.USER)
  const before = [0x5000n, 0x40_5000n].map(at)
  spaces.map(1, REGION, 2, USER | LARGE, 21)
  spaces.map(1, REGION + 0x40_0000n, 4, USER | LARGE, 21)
  machine.memory.flushPage(REGION + 0x1f_f000n)
  assert.deepEqual([0x5000n, 0x40_5000n].map(at), [before[0]! + 0x20_0000n, before[1]!])
})
