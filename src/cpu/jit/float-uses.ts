/**
 * Which vector registers are operands of floating-point arithmetic behind a place, before they are
 * written: of these the heads of loops presume bounds (path-joins.ts).
 *
 * What is said may be too much or too little; that costs, and does no harm.
 */
import type { Instruction, Operand } from '../../isa/operand.ts'
import { xmmAt } from '../interpreter/core-fields.ts'
import type { FloatWidth } from './float-lanes.ts'
import { type Region, targetsOf } from './region.ts'

export interface FloatUse {
  readonly width: FloatWidth
  /** A bit for each lane. */
  readonly lanes: number
  /** Those of which it is more than comparisons, MIN and MAX, which are often with infinities. */
  readonly computed: number
}

/** By the address of a vector register of 128 bits. */
export type FloatUses = ReadonlyMap<number, FloatUse>

const ARITHMETIC = /^v?(add|sub|mul|div|sqrt|addsub)([sp])([sd])$/
const WHOLE_COPY = /^v?mov(ap[sd]|up[sd]|dq[au])$/
const LOW_COPY = /^v?movs([sd])$/
const COMPARISON = /^v?(min|max|u?comi)([sp])([sd])$/
const ALL = 15

function union(a: FloatUse | undefined, b: FloatUse): FloatUse {
  return a?.width !== b.width ? b
    : { width: b.width, lanes: a.lanes | b.lanes, computed: a.computed | b.computed }
}

/** The registers of 128 bits that an operand is. */
function partsOf(operand: Operand | undefined): number[] {
  if (operand?.kind !== 'xmm') return []
  const address = xmmAt(operand.index)
  return operand.width === 256 ? [address, address + 16] : [address]
}

/** Takes an instruction away from what is used behind it. */
function stepBack({ definition: { name }, operands }: Instruction, uses: Map<number, FloatUse>) {
  const [target, ...sources] = operands
  if (target?.kind !== 'xmm') return
  const written = partsOf(target)
  const comparison = COMPARISON.exec(name)
  const arithmetic = comparison ?? ARITHMETIC.exec(name)
  if (arithmetic) {
    const width = arithmetic[3] === 'd' ? 64 : 32
    const lanes = arithmetic[2] === 's' ? 1 : (1 << 128 / width) - 1
    const computed = comparison ? 0 : lanes
    const isWritten = !comparison?.[1]!.includes('com')
    for (const part of isWritten ? written : []) write(uses, part, lanes)
    const readsTarget = sources.length === 1 && arithmetic[1] !== 'sqrt'
    for (const operand of readsTarget ? operands : sources) {
      for (const part of partsOf(operand)) {
        uses.set(part, union(uses.get(part), { width, lanes, computed }))
      }
    }
    return
  }
  const isLow = LOW_COPY.test(name)
  const source = sources.at(-1)
  const from = isLow || WHOLE_COPY.test(name) ? partsOf(source) : []
  written.forEach((part, index) => {
    const use = uses.get(part)
    const lanes = isLow && from.length > 0 ? 1 : ALL
    write(uses, part, lanes)
    const copied = from[index]
    if (!use || copied === undefined || (use.lanes & lanes) === 0) return
    uses.set(copied, union(uses.get(copied), among(use, lanes)))
  })
}

function write(uses: Map<number, FloatUse>, part: number, lanes: number): void {
  const use = uses.get(part)
  if (!use) return
  const left = among(use, ~lanes)
  if (left.lanes === 0) uses.delete(part)
  else uses.set(part, left)
}

function among({ width, lanes, computed }: FloatUse, some: number): FloatUse {
  return { width, lanes: lanes & some, computed: computed & some }
}

/** Adds what a block's successors use; whether that is more than it was. */
function addAll(uses: Map<number, FloatUse>, more: FloatUses): boolean {
  let added = false
  for (const [part, use] of more) {
    const known = uses.get(part)
    const isNew = !known || known.width === use.width
      && (use.lanes & ~known.lanes | use.computed & ~known.computed) !== 0
    if (!isNew) continue
    uses.set(part, union(known, use))
    added = true
  }
  return added
}

/** For each block of a region, what is used from its start on. */
export function floatUses(region: Region): readonly FloatUses[] {
  const { blocks } = region
  const hasVectors = blocks.some(({ instructions }) =>
    instructions.some(({ instruction: { operands } }) => operands[0]?.kind === 'xmm'))
  if (!hasVectors) return blocks.map(() => new Map<number, FloatUse>())
  const behind = blocks.map(() => new Map<number, FloatUse>())
  const starts: FloatUses[] = blocks.map(() => new Map<number, FloatUse>())
  const sources: number[][] = blocks.map(() => [])
  blocks.forEach((block, number) => {
    for (const { block: to } of targetsOf(block)) if (to >= 0) sources[to]!.push(number)
  })
  const waiting = new Set(blocks.keys())
  for (const number of waiting) {
    waiting.delete(number)
    const uses = new Map(behind[number])
    for (const { instruction } of blocks[number]!.instructions.toReversed()) {
      stepBack(instruction, uses)
    }
    starts[number] = uses
    for (const source of sources[number]!) if (addAll(behind[source]!, uses)) waiting.add(source)
  }
  return starts
}
