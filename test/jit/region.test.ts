/**
 * Regions found in random programs: what their blocks say of the code is so.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_FLAT32, CODE_MODE_LONG } from '../../src/cpu/core-memory.ts'
import { codeModeOf } from '../../src/cpu/interpreter/code-mode.ts'
import { discover } from '../../src/cpu/jit/discovery.ts'
import type { RegionLimits } from '../../src/cpu/jit/exploration.ts'
import {
  type Block, lastPageOf, PAGE_BYTES, pageOf, type Region, targetsOf,
} from '../../src/cpu/jit/region.ts'
import { makeDecoder } from '../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { Random } from '../isa/decoder/byte-strings.ts'
import { CODE_AT, CODE_PAGES } from './machine.ts'
import { makeProgram } from './program.ts'

const decode = makeDecoder(allInstructions)
const PROGRAMS = 300
const LIMITS = { instructions: 120, total: 140, small: 20, targets: 3 }

/** Whether another region is entered at an offset. */
function isOtherEntry(seed: number, offset: number): boolean {
  return seed % 2 === 0 && Math.imul(offset, 0x9e37_79b1) >>> 29 === 0
}

/** A region of a program, of whose code some is warm. */
function regionOf(seed: number): Region | undefined {
  const { code, entry, isLong = true } = makeProgram(seed)
  const codeMode = isLong ? CODE_MODE_LONG : CODE_MODE_FLAT32
  const random = new Random(seed)
  const first = pageOf(entry - CODE_AT)
  const coldPart = random.below(4)
  const at = entry - CODE_AT - first * PAGE_BYTES
  const starts: number[] = []
  for (let next = at; next < PAGE_BYTES;) {
    const found = decode(code.subarray(first * PAGE_BYTES + next), codeModeOf(codeMode))
    if (typeof found === 'string') break
    starts.push(next)
    next += found.length
  }
  return discover({
    decode,
    codeMode,
    page: (number) => {
      const page = number + first
      return page < 0 || page >= CODE_PAGES ? undefined
        : code.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
    },
    isWarm: (offset) => coldPart === 0 || (offset * 0x9e37_79b1 >>> 16) % 5 >= coldPart,
    heatOf: (offset) => Math.imul(offset, 0x9e37_79b1) >>> 24,
    isEntry: (offset) => isOtherEntry(seed, offset),
    seenFrom: (offset) => starts.filter((_, i) => Math.imul(i + offset, 0x9e37_79b1) >>> 29 === 0),
  }, at, LIMITS)
}

const regions = Array.from({ length: PROGRAMS }, (_, seed) => regionOf(seed + 1))
  .filter((region) => region !== undefined)

function endOf({ instructions, offset }: Block): number {
  const last = instructions.at(-1)
  return last ? last.offset + last.instruction.length : offset
}

test('most programs begin with code of which a region can be made', () => {
  assert.ok(regions.length > PROGRAMS * 0.8, `${regions.length} of ${PROGRAMS}`)
})

test('an instruction is in one block, and blocks are of one piece and one page', () => {
  for (const { blocks, pages } of regions) {
    const seen = new Set<number>()
    for (const block of blocks) {
      let next = block.offset
      for (const { offset, instruction } of block.instructions) {
        assert.equal(offset, next)
        assert.equal(seen.has(offset), false)
        assert.equal(pageOf(offset), pageOf(block.offset))
        seen.add(offset)
        next += instruction.length
      }
      assert.ok(pages.includes(pageOf(block.offset)))
    }
    assert.ok(seen.size <= LIMITS.total)
  }
})

test('what crosses into the next page is a block of its own, and some do', () => {
  let crossing = 0
  for (const { blocks, pages } of regions) for (const { instructions } of blocks) {
    for (const placed of instructions) {
      if (lastPageOf(placed) === pageOf(placed.offset)) continue
      assert.equal(instructions.length, 1)
      assert.ok(pages.includes(lastPageOf(placed)))
      crossing += 1
    }
  }
  assert.ok(crossing > 0)
})

/** The region that begins at 0 of a page with pieces of code. */
function madeOf(
  pieces: Readonly<Record<number, readonly number[]>>, small: number,
  others: readonly number[] = [], limits: Partial<RegionLimits> = {}, hottest = -1,
): Region {
  const page = new Uint8Array(PAGE_BYTES).fill(0xcc)
  for (const [at, bytes] of Object.entries(pieces)) page.set(bytes, Number(at))
  const source = {
    decode, codeMode: CODE_MODE_LONG, isWarm: () => true, seenFrom: () => [],
    heatOf: (offset: number) => offset === hottest ? 1 : 0,
    isEntry: (offset: number) => others.includes(offset),
    page: (number: number) => number === 0 ? page : undefined,
  }
  return discover(source, 0, { instructions: 400, total: 400, targets: 1, ...limits, small })!
}

function jump(opcode: number, from: number, to: number): number[] {
  return [opcode, ...new Uint8Array(Int32Array.of(to - from - 5).buffer)]
}

/** `count` times ADD EAX, ECX, and a RET. */
function additions(count: number): number[] {
  return [...Array.from({ length: count }, () => [0x01, 0xc8]).flat(), 0xc3]
}

const [CALL, JMP, SYSCALL, RET] = [0xe8, 0xe9, [0x0f, 0x05], 0xc3]

test('a region ends where another is entered, unless little is there', () => {
  const [other, size] = [100, 30]
  const found = (small: number): number[] =>
    madeOf({ 0: jump(JMP, 0, other), [other]: additions(size) }, small, [other])
      .blocks.map(({ offset }) => offset)
  assert.deepEqual(found(size), [0])
  assert.deepEqual(found(size + 1), [0, other])
})

test('a small function is followed up to where another region is entered', () => {
  const [callee, other] = [100, 200]
  const pieces = {
    0: [...jump(CALL, 0, callee), RET], [callee]: jump(JMP, callee, other), [other]: additions(30),
  }
  const { blocks, entries } = madeOf(pieces, 20, [other])
  assert.deepEqual(blocks.map(({ offset }) => offset), [0, 5, callee])
  assert.deepEqual(entries, [0, 1], 'the other region returns behind the call')
})

test('of functions that are called those that are hottest have room first', () => {
  const [first, second, size] = [100, 200, 30]
  const pieces = {
    0: [...jump(CALL, 0, first), ...jump(CALL, 5, second), RET],
    [first]: additions(size - 1), [second]: additions(size - 1),
  }
  const found = (total: number, hottest: number): number[] =>
    madeOf(pieces, size, [], { instructions: 3, total }, hottest).blocks
      .map(({ offset }) => offset).filter((offset) => offset >= first)
  const own = 3
  assert.deepEqual(found(own + size, first), [first])
  assert.deepEqual(found(own + size, second), [second])
  assert.deepEqual(found(own + 2 * size - 1, second), [second], 'wholly or not at all')
  assert.deepEqual(found(own + 2 * size, second), [second, first])
})

test('the place behind SYSCALL is entered, and returns from there stay inside', () => {
  const callee = 100
  const { blocks, entries } =
    madeOf({ 0: [...jump(CALL, 0, callee), RET], [callee]: [...SYSCALL, RET] }, 20)
  assert.deepEqual(blocks.map(({ offset }) => offset), [0, 5, callee, callee + 2])
  assert.deepEqual(entries.map((number) => blocks[number]!.offset), [0, callee + 2])
  assert.deepEqual(blocks[3]!.end, { kind: 'jumps', likely: [{ offset: 5, block: 1 }] })
})

test('only the last instruction of a block ends it', () => {
  for (const { blocks } of regions) for (const { instructions } of blocks) {
    for (const { instruction } of instructions.slice(0, -1)) {
      assert.equal(instruction.definition.fields.endsBlock ?? false, false)
      assert.notEqual(instruction.operands[0]?.kind, 'relative')
    }
  }
})

test('a target names the block that stands there', () => {
  for (const { blocks } of regions) for (const block of blocks) {
    for (const { block: number, offset } of targetsOf(block)) {
      if (number >= 0) assert.equal(blocks[number]!.offset, offset)
      else assert.equal(blocks.some((other) => other.offset === offset), false)
    }
  }
})

test('a block goes where its last instruction does', () => {
  for (const { blocks } of regions) for (const block of blocks) {
    const last = block.instructions.at(-1)
    const target = last?.instruction.operands[0]
    const next = endOf(block)
    const { end } = block
    if (end.kind === 'leaves') assert.equal(end.at, next)
    if (end.kind === 'branches') assert.equal(end.next.offset, next)
    if (target?.kind === 'relative') {
      const to = end.kind === 'branches' ? end.taken : end.kind === 'goes' ? end.to : undefined
      assert.equal(to?.offset, next + target.displacement)
    } else if (end.kind === 'goes') {
      assert.equal(end.to.offset, next)
    } else if (end.kind === 'jumps') {
      assert.ok(last!.instruction.definition.fields.endsBlock)
    }
  }
})

test('every block is reached from an entry, and an entry has something to do', () => {
  for (const { blocks, entries } of regions) {
    const reached = new Set(entries)
    for (const number of reached) {
      for (const { block } of targetsOf(blocks[number]!)) if (block >= 0) reached.add(block)
    }
    // Blocks of nothing may be left over: nobody needs to enter there.
    const idle = blocks.flatMap(({ instructions }, number) =>
      instructions.length === 0 && !reached.has(number) ? [number] : [])
    assert.equal(reached.size + idle.length, blocks.length)
    for (const number of entries) assert.ok(blocks[number]!.instructions.length > 0)
  }
})
