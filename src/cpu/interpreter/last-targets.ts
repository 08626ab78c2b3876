/**
 * Where a jump to another page went last: its record remembers the record there, and the frame.
 *
 * Records stay where they are until all are forgotten at once, and those of code that was written
 * to look up their own address. So what is remembered holds while the page is in that frame, which
 * the instruction TLB says. Neither the hash of decoded code is looked at then, nor, mostly, the
 * table of indirect jumps (jump-targets.ts).
 *
 * Only 64-bit code remembers: a record of such code is executed in no other mode.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { emitExecPage } from '../mmu/exec-tlb.ts'
import { controlAt, emitCodePage, loadControl32, loadControl64, Z } from './core-fields.ts'
import { CORE, partSignatures } from './parts.ts'
import { field, type LastTarget, SCALE_MASK, Special } from './record.ts'

/** Goes to `linear` as the jump at `record` did last, by returning the record; or goes on. */
function emitGoAsLast(f: FunctionBuilder, record: Local, last: LastTarget, linear: Local): void {
  const target = f.local('i32')
  const head = f.local('i32')
  const entry = f.local('i32')
  const frame = f.local('i32')
  const page = f.local('i64')
  f.block((missed) => {
    f.set(target, i32.load(CORE, record, last.link))
    f.brIf(missed, i32.eqz(target))
    f.set(frame, emitExecPage(f, CORE, linear, { entry, missed }))
    f.brUnlikely(missed, i32.ne(frame, i32.load(CORE, record, last.frame)))
    f.set(head, i32.load(CORE, target, field.handler))
    const offset = i32.and(i32.wrap(linear), i32.const(0xfff))
    f.brIf(missed, i32.ne(i32.shrU(head, i32.const(16)), offset))
    // Another record may have taken its place since.
    f.brUnlikely(missed, i32.eq(i32.and(head, i32.const(0xffff)), i32.const(Special.LOOK_UP)))
    f.set(page, i64.and(linear, i64.const(-4096n)))
    emitCodePage(f, page, frame)
    f.return(target)
  })
}

/** Whether a record that was executed is still the same after others were sought: all may be
 * forgotten meanwhile, or it may enter a region, which uses its fields. */
class StillThere {
  readonly #handler: Local
  readonly #generation: Local
  readonly #handlerNow: Expression

  constructor(f: FunctionBuilder, record: Local) {
    this.#handler = f.local('i32')
    this.#generation = f.local('i32')
    this.#handlerNow = i32.load16U(CORE, record, field.handler)
    f.set(this.#handler, this.#handlerNow)
    f.set(this.#generation, loadControl32('codeGeneration'))
  }

  test(): Expression {
    return i32.and(i32.eq(this.#generation, loadControl32('codeGeneration')),
      i32.eq(this.#handler, this.#handlerNow))
  }
}

/** Remembers that the jump at `record` went to `target`. */
function emitRemember(f: FunctionBuilder, record: Local, last: LastTarget, target: Local): void {
  f.if(i32.eq(loadControl32('codeMode'), i32.const(CODE_MODE_LONG)), () => {
    f.store('i32', CORE, record, target, last.link)
    f.store('i32', CORE, record, loadControl32('codeMachinePage'), last.frame)
  })
}

/** Builds the part `resolve`: a direct branch whose link is not known goes there, and links when
 * the page is the same. */
export function buildResolve(module: ModuleBuilder, jump: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.resolve)
  const [record] = f.parameters as [Local]
  const target = f.local('i32')
  const linear = f.local('i64')
  const rip = f.local('i64')
  const offset = f.local('i64')
  f.set(offset, i64.load(CORE, record, field.immediate))
  f.set(linear, i64.add(loadControl64('codePage'), offset))
  emitGoAsLast(f, record, field.branchedTo, linear)
  f.set(rip, i64.sub(linear, loadControl64('codeBase')))
  // The scale of a branch says how wide its instruction pointer is: 1 16 bits, 2 32 bits.
  const width = i32.and(
    i32.load8U(CORE, record, field.scaleAndSegment), i32.const(SCALE_MASK))
  f.if(i32.eq(width, i32.const(1)), () => f.set(rip, i64.and(rip, i64.const(0xffffn))))
  f.if(i32.eq(width, i32.const(2)), () => f.set(rip, i64.and(rip, i64.const(0xffff_ffffn))))
  const stillThere = new StillThere(f, record)
  f.set(target, call(jump, rip))
  f.if(i32.and(i32.eqz(width), stillThere.test()), () => {
    f.if(i64.ltU(offset, i64.const(4096n)),
      () => f.store('i32', CORE, record, target, field.link),
      () => emitRemember(f, record, field.branchedTo, target))
  })
  f.return(target)
  return f
}

/** Of so many jumps one goes through the table of indirect jumps though it went there last. */
const NOTED = 8
/** A linear congruential generator modulo 2^32, with the factor of Numerical Recipes: so that no
 * jump of a loop is always left out. */
const FACTOR = 1664525
const INCREMENT = 1013904223

/** Builds the part `jumpIndirect`; `jump` also notes where it goes. */
export function buildJumpIndirect(module: ModuleBuilder, jump: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.jumpIndirect)
  const [record, rip] = f.parameters as [Local, Local]
  const target = f.local('i32')
  const random = f.local('i32')
  f.set(random, i32.add(i32.mul(loadControl32('jumpLot'), i32.const(FACTOR)),
    i32.const(INCREMENT)))
  f.store('i32', CORE, Z, random, controlAt('jumpLot'))
  f.if(i32.geU(random, i32.const(2 ** 32 / NOTED)),
    () => emitGoAsLast(f, record, field.jumpedTo, rip))
  const stillThere = new StillThere(f, record)
  f.set(target, call(jump, record, rip))
  f.if(stillThere.test(), () => emitRemember(f, record, field.jumpedTo, target))
  f.return(target)
  return f
}
