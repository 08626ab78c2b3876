/**
 * By how much a round of a loop moves each general register: which accesses of the loop mostly stay
 * in the page of the round before is told by it (micro-entries.ts).
 *
 * What is said may be wrong, where a round takes another way or an inner loop has many rounds; that
 * costs, and does no harm.
 */
import { RDI, RSI, RSP } from '../../abi/x86/registers.ts'
import { effectsOf } from '../../isa/backends/effects.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Structure } from './graph.ts'
import { type Block, type Region, targetsOf } from './region.ts'

/** By register, in bytes; Infinity where it is not known. */
export type Steps = readonly number[]

const REGISTERS = 16
const onStack = new Set(['push', 'pop', 'call', 'ret'])

/** By how much an instruction moves a register that it writes. */
function stepOf({ definition, operands, repeat, row }: Instruction, register: number): number {
  const { name } = definition
  const [target, source] = operands
  if (register === RSP && onStack.has(name)) return 0
  const isPointer = (register === RSI || register === RDI) && repeat === 0
    && row.properties.string !== undefined
  if (isPointer) return target!.width / 8
  if (target?.kind !== 'gpr' || target.index !== register || target.width < 32) return Infinity
  if (name === 'inc' || name === 'dec') return 1
  if ((name === 'add' || name === 'sub') && source?.kind === 'immediate') {
    return Math.abs(Number(source.value))
  }
  const isMoved = name === 'lea' && source?.kind === 'memory' && source.index < 0
    && source.base === register
  return isMoved ? Math.abs(Number(source.displacement)) : Infinity
}

/** The steps of a block, together. */
function stepsOf({ instructions }: Block): Steps {
  const steps = new Array<number>(REGISTERS).fill(0)
  for (const { instruction } of instructions) {
    const written = effectsOf(instruction)?.gprWritten ?? -1
    for (let register = 0; register < REGISTERS; register++) {
      if (written >> register & 1) steps[register]! += stepOf(instruction, register)
    }
  }
  return steps
}

/** For each node that is the head of a loop, the steps of a round. */
export function loopSteps(region: Region, structure: Structure): ReadonlyMap<number, Steps> {
  const { blocks } = region
  const sources: number[][] = blocks.map(() => [])
  blocks.forEach((block, number) => {
    for (const { block: to } of targetsOf(block)) if (to >= 0) sources[to]!.push(number)
  })
  const known: Steps[] = []
  const found = new Map<number, Steps>()
  blocks.forEach((_, head) => {
    if (!structure.isLoop[head + 1]) return
    const body = new Set([head])
    for (const from of sources[head]!) {
      if (structure.edge(from + 1, head + 1) === 'back') body.add(from)
    }
    for (const number of body) {
      if (number !== head) for (const from of sources[number]!) body.add(from)
    }
    const steps = new Array<number>(REGISTERS).fill(0)
    for (const number of body) {
      // It may be in many loops.
      const added = known[number] ??= stepsOf(blocks[number]!)
      for (let register = 0; register < REGISTERS; register++) steps[register]! += added[register]!
    }
    found.set(head + 1, steps)
  })
  return found
}
