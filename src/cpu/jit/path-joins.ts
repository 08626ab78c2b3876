/**
 * What is known of floats and of roots of registers where paths of a region meet: what holds on all
 * of them. At the head of a loop registers have new roots, as each round moves them.
 *
 * The ways back to the head of a loop are not written yet when its body is. So bounds of what the
 * loop computes with are presumed there, and whoever comes to the head makes sure of them: a value
 * that lies outside is noted, as any that is not ordinary (fpu/denormals.ts).
 */
import { f64, i32, i64, simd, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { hasDenormal, isDenormal } from '../fpu/denormals.ts'
import { areWithin, MODERATE, notDenormal } from '../fpu/float-bounds.ts'
import { isImmoderate } from '../fpu/inline-float.ts'
import { writeUnlessModerate } from '../fpu/inline-vector.ts'
import type { AddressSymbol } from '../interpreter/parts.ts'
import type { Without } from './features.ts'
import type { RegionLocals } from './flag-state.ts'
import { commonLanes, type FloatLanes, type FloatWidth } from './float-lanes.ts'
import { floatUses, type FloatUse, type FloatUses } from './float-uses.ts'
import type { LocalFloatState } from './local-float-state.ts'
import type { Structure } from './graph.ts'
import type { LocalState } from './local-state.ts'
import { loopSteps, type Steps } from './loop-steps.ts'
import { MicroEntries } from './micro-entries.ts'
import { PathFacts } from './path-facts.ts'
import type { Region } from './region.ts'
import type { X87Facts } from './x87-facts.ts'

interface Known {
  readonly sseChecked: boolean
  readonly avxChecked: boolean
  readonly floats: ReadonlyMap<number, FloatLanes>
  readonly registers: readonly (AddressSymbol | undefined)[]
}

const NOTHING: Known = { sseChecked: false, avxChecked: false, floats: new Map(), registers: [] }

export class PathJoins {
  readonly #target: FunctionBuilder
  readonly #state: LocalState
  readonly #floats: LocalFloatState
  readonly #isLoop: readonly boolean[]
  readonly #uses: readonly FloatUses[]
  readonly #micro: MicroEntries
  readonly #steps: ReadonlyMap<number, Steps>
  /** By node, what holds on all the paths that have come. */
  readonly #known = new Map<number, Known>()

  constructor(
    target: FunctionBuilder, state: LocalState, floats: LocalFloatState, region: Region,
    structure: Structure, without: Without,
  ) {
    this.#target = target
    this.#state = state
    this.#floats = floats
    this.#isLoop = structure.isLoop
    this.#uses = floatUses(region)
    this.#micro = new MicroEntries(region.blocks[0]!.offset)
    this.#steps = without.includes('micro-tlb') ? new Map() : loopSteps(region, structure)
  }

  /** A path comes to a node, with facts or none; `again` where it comes back. */
  arrive(node: number, facts: PathFacts | undefined, again = false): void {
    const known = facts ? {
      sseChecked: facts.sseChecked, avxChecked: facts.avxChecked, floats: facts.allFloats,
      registers: [...facts.registers],
    } : NOTHING
    if (this.#isLoop[node]) this.#ask(node, known)
    if (!again) this.#known.set(node, common(this.#known.get(node) ?? known, known))
  }

  /** What the code of a node may go by. */
  factsAt(node: number, locals: RegionLocals, x87: X87Facts): PathFacts {
    const facts = new PathFacts(locals, this.#micro, x87)
    const { sseChecked, avxChecked, floats, registers } = this.#known.get(node) ?? NOTHING
    facts.sseChecked = sseChecked
    facts.avxChecked = avxChecked
    if (this.#isLoop[node]) {
      for (const [register, use] of this.#uses[node - 1]!) {
        facts.setFloats(register, lanesPresumed(use))
      }
      this.#steps.get(node)?.forEach((step, register) => facts.move(register, node, step))
    } else {
      for (const [register, lanes] of floats) facts.setFloats(register, lanes)
      registers.forEach((symbol, register) => facts.setRegister(register, symbol))
    }
    return facts
  }

  /** Makes sure of what the head of a loop presumes. */
  #ask(node: number, { floats }: Known): void {
    for (const [register, use] of this.#uses[node - 1]!) {
      const known = floats.get(register)
      const { bounds } = lanesPresumed(use)
      const missing = bounds.flatMap((wanted, lane) =>
        wanted && !(known?.width === use.width && areWithin(known.bounds[lane], wanted)) ? [lane]
          : [])
      if (missing.length === 0) continue
      const vector = this.#state.loadVector(i32.const(register))
      if (missing.some((lane) => bounds[lane] === MODERATE)) this.#askModerate(vector, missing)
      else this.#askOrdinary(vector, use.width, missing)
    }
  }

  #askModerate(vector: Expression, lanes: readonly number[]): void {
    const f = this.#target
    const note = (isOutside: Expression): void => f.if(isOutside, () => this.#floats.note())
    if (lanes.length === 2) {
      writeUnlessModerate(f, (bits) => this.#floats.constant(bits), [vector], note)
      return
    }
    const double = simd('f64', 33, [vector], [lanes[0]!])
    f.ifUnlikely(isImmoderate(i64.reinterpret(double)),
      () => note(f64.ne(double, f64.const(0))))
  }

  #askOrdinary(vector: Expression, width: FloatWidth, lanes: readonly number[]): void {
    const bits = (lane: number): Expression => width === 64 ? simd('i64', 29, [vector], [lane])
      : i64.extendU(simd('i32', 27, [vector], [lane]))
    const isOutside = lanes.length > 1 ? hasDenormal(vector, width)
      : isDenormal(bits(lanes[0]!), width)
    this.#target.ifUnlikely(isOutside, () => this.#floats.note())
  }
}

/** Doubles are presumed to be moderate, but for those that are only compared. */
function lanesPresumed({ width, lanes, computed }: FloatUse): FloatLanes {
  const bounds = Array.from({ length: 128 / width }, (_, lane) => {
    if ((lanes >> lane & 1) === 0) return undefined
    return width === 64 && (computed >> lane & 1) === 1 ? MODERATE : notDenormal[width]
  })
  return { width, bounds }
}

function common(a: Known, b: Known): Known {
  const floats = new Map<number, FloatLanes>()
  for (const [register, lanes] of a.floats) {
    const both = commonLanes(lanes, b.floats.get(register))
    if (both) floats.set(register, both)
  }
  const registers = a.registers.map((symbol, register) => {
    const other = b.registers[register]
    return symbol?.root === other?.root ? symbol : undefined
  })
  return {
    registers,
    sseChecked: a.sseChecked && b.sseChecked, avxChecked: a.avxChecked && b.avxChecked, floats,
  }
}
