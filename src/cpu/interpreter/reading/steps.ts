/**
 * Collecting steps: the ground that the layers of the Wasm reading stand on.
 *
 * A layer's methods append values and effects (value.ts) to the list; `when` gathers the lists of
 * its arms. Scalars are i64 and booleans i32, converted where they meet.
 */
import { assert } from '../../../base/assert.ts'
import { i64, type Expression } from '../../../wasm/expression.ts'
import type { FunctionBuilder } from '../../../wasm/function.ts'
import type { EngineParts, InstructionShape, Site } from '../parts.ts'
import { MemoryAccess } from './memory-access.ts'
import {
  constantIn, emitSteps, type Effect, type Locals, type Shape, type Step, Value,
} from './value.ts'

export abstract class StepCollector {
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  readonly stackWidth: 16 | 32 | 64
  readonly long: boolean
  protected readonly shape: InstructionShape
  protected readonly parts: EngineParts
  protected readonly site: Site
  protected readonly target: FunctionBuilder
  protected readonly pool: Locals
  protected readonly memory: MemoryAccess
  protected steps: Step[] = []

  constructor(parts: EngineParts, site: Site, pool: Locals, shape: InstructionShape) {
    this.parts = parts
    this.site = site
    this.target = site.target
    this.pool = pool
    this.shape = shape
    this.operandSize = shape.operandSize
    this.addressSize = shape.addressSize
    this.stackWidth = shape.stackWidth
    this.long = shape.long
    this.memory = new MemoryAccess(parts, site, pool, shape)
  }

  when(condition: Value, then: () => void, otherwise?: () => void): void {
    const known = constantIn(condition)
    if (known !== undefined) {
      if (known !== 0n) then()
      else otherwise?.()
      return
    }
    const test = this.boolean(condition)
    const outer = this.steps
    const yes: Step[] = this.steps = []
    then()
    const no: Step[] = this.steps = []
    otherwise?.()
    this.steps = outer
    const emitArm = (steps: Step[]) => (): void => emitSteps(steps, this.target, this.pool)
    this.effect({
      inputs: [test],
      nested: [yes, no],
      emit: () => this.target.if(test.expression(), emitArm(yes),
        no.length > 0 ? emitArm(no) : undefined),
    })
  }

  /** Goes on with the next instruction, from inside `when`. */
  leaveByNext(): void {
    this.effect({ inputs: [], emit: () => this.site.exits.next() })
  }

  /** Starts the instruction again, from inside `when`; says whether what was done counts. */
  leaveByAgain(counts: boolean): void {
    this.effect({ inputs: [], emit: () => this.site.exits.again(counts) })
  }

  /** A value computed from others. */
  protected computed(
    type: Value['type'], operands: readonly Value[],
    make: (...operands: Expression[]) => Expression,
  ): Value {
    return this.make(new Value(type, operands, make))
  }

  protected make(value: Value): Value {
    this.steps.push(value)
    return value
  }

  /** Something that happens here in the order. */
  protected effect(effect: Effect): void {
    this.steps.push(effect)
  }

  /** What an effect will yield. */
  protected result(type: Value['type'], shape?: Shape): Value {
    return new Value(type, [], () => { throw new Error('a result lives in a local') }, shape)
  }

  /** A value read from core memory, here and now, or for another reason made at its place. */
  protected loaded(
    type: Value['type'], make: () => Expression, ...inputs: readonly Value[]
  ): Value {
    const result = this.result(type)
    this.effect({
      inputs, result, droppable: true,
      emit: () => this.target.set(result.local!, make()),
    })
    return result
  }

  /** A boolean or scalar as a 64-bit scalar. */
  scalar(value: Value): Value {
    assert(value.type !== 'v128', 'a scalar is wanted')
    if (value.type === 'i64') return value
    const known = constantIn(value)
    if (known !== undefined) {
      return new Value('i64', [], () => i64.const(known), { kind: 'constant', value: known })
    }
    return this.computed('i64', [value], (x) => i64.extendU(x!))
  }

  /** A scalar as a boolean: whether it is not zero. */
  protected boolean(value: Value): Value {
    if (value.type === 'i32') return value
    return this.computed('i32', [value], (x) => i64.ne(x!, i64.const(0n)))
  }
}
