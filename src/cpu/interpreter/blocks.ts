/**
 * Many rounds of a repeated string instruction at once: blocks of memory moved and filled upwards,
 * as REP MOVS and REP STOS with DF clear do.
 *
 * A block ends where a page of its source or target does, so that whoever repeats it looks at
 * interrupts in between, and faults find the registers as after a whole round. What is unusual is
 * left to single rounds: elements that cross pages, faults, MMIO, the page being executed,
 * breakpoints and alignment checks, single steps, and a target less than an element above its
 * source.
 */
import {
  call, globalGet, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { WATCHED_ACCESSES } from '../debug.ts'
import { Access } from '../mmu/environment.ts'
import { loadControl32 } from './core-fields.ts'
import { MACHINE, type EngineParts, partSignatures } from './parts.ts'
import { forgetTime } from './time-stamp.ts'

export interface BlockNeeds {
  readonly stopped: number
  /** Flags of an ordinary access. */
  readonly access: number
  /** (linear i64, access i32) -> i64: machine address for reading, or negative. */
  readonly translate: FunctionReference
  /** (linear i64, size i32, access i32) -> i64: the same for writing. */
  readonly probeWrite: FunctionReference
}

/** Blocks up to this are copied by words: the engine calls a C function for longer ones. */
const SHORT = 64

export function buildBlocks(module: ModuleBuilder, needs: BlockNeeds) {
  return {
    moveForward: buildMoveForward(module, needs),
    fillForward: buildFillForward(module, needs),
  } satisfies Partial<EngineParts>
}

const offsetIn = (linear: Expression): Expression => i32.and(i32.wrap(linear), i32.const(4095))

/** Sets `left` to the bytes from `linear` to its page's end if they are fewer. */
function keepInPage(f: FunctionBuilder, left: Local, linear: Local): void {
  const room = i32.sub(i32.const(4096), offsetIn(linear))
  f.set(left, select(left, room, i32.ltU(left, room)))
}

/** Rounds cannot be done together: the last translation may have noted a fault, which the single
 * round will meet again. */
function giveUp(f: FunctionBuilder, needs: BlockNeeds): void {
  f.setGlobal(needs.stopped, i32.const(0))
  f.return(i64.const(0))
}

/** Cuts `bytes` to whole elements, and to `count` of them; gives up when none is left. */
function cutToElements(
  f: FunctionBuilder, needs: BlockNeeds, bytes: Local, count: Local, shift: Local,
): void {
  f.set(bytes, i32.shrU(bytes, shift))
  f.if(i64.ltU(count, i64.extendU(bytes)), () => f.set(bytes, i32.wrap(count)))
  f.set(bytes, i32.shl(bytes, shift))
  const single = i32.or(loadControl32('roundByRound'),
    i32.and(loadControl32('watching'), i32.const(WATCHED_ACCESSES)))
  f.if(i32.or(i32.eqz(bytes), single), () => giveUp(f, needs))
}

/** -> i32: flags of the access that writes a block. */
function forBlock(needs: BlockNeeds): Expression {
  return i32.or(globalGet(needs.access, 'i32'), i32.const(Access.BLOCK))
}

/** Translates into `machine`, or gives up. */
function reach(
  f: FunctionBuilder, needs: BlockNeeds, machine: Local, translation: Expression,
): void {
  const place = f.local('i64')
  f.set(place, translation)
  f.if(i64.ltS(place, i64.const(0)), () => giveUp(f, needs))
  f.set(machine, i32.wrap(place))
}

function buildMoveForward(module: ModuleBuilder, needs: BlockNeeds): FunctionBuilder {
  const f = module.function(partSignatures.moveForward)
  const [to, from, count, shift] = f.parameters as [Local, Local, Local, Local]
  const [bytes, source, target, distance] =
    [f.local('i32'), f.local('i32'), f.local('i32'), f.local('i32')]
  const access = globalGet(needs.access, 'i32')
  f.set(bytes, i32.const(4096))
  keepInPage(f, bytes, to)
  keepInPage(f, bytes, from)
  cutToElements(f, needs, bytes, count, shift)
  reach(f, needs, source, call(needs.translate, from, access))
  reach(f, needs, target, call(needs.probeWrite, to, bytes, forBlock(needs)))
  f.set(distance, i32.sub(target, source))
  // What was written is read again when the target lies above, within reach: no further than that.
  f.if(i32.and(i32.ne(distance, i32.const(0)), i32.ltU(distance, bytes)), () => {
    f.set(bytes, i32.shl(i32.shrU(distance, shift), shift))
    f.if(i32.eqz(bytes), () => giveUp(f, needs))
  })
  f.set(distance, bytes)
  f.if(i32.gtU(bytes, i32.const(SHORT)),
    () => {
      forgetTime(f)
      f.memoryCopy(MACHINE, MACHINE, target, source, bytes)
    },
    () => moveShort(f, target, source, distance))
  f.return(i64.extendU(i32.shrU(bytes, shift)))
  return f
}

/** Words, then bytes, upwards; changes its arguments. */
function moveShort(f: FunctionBuilder, target: Local, source: Local, left: Local): void {
  const advance = (size: number): void => {
    f.set(target, i32.add(target, i32.const(size)))
    f.set(source, i32.add(source, i32.const(size)))
    f.set(left, i32.sub(left, i32.const(size)))
  }
  f.block((done) => f.loop((again) => {
    f.brIf(done, i32.ltU(left, i32.const(8)))
    f.store('i64', MACHINE, target, i64.load(MACHINE, source))
    advance(8)
    f.br(again)
  }))
  f.block((done) => f.loop((again) => {
    f.brIf(done, i32.eqz(left))
    f.store('i32As8', MACHINE, target, i32.load8U(MACHINE, source))
    advance(1)
    f.br(again)
  }))
}

function buildFillForward(module: ModuleBuilder, needs: BlockNeeds): FunctionBuilder {
  const f = module.function(partSignatures.fillForward)
  const [to, value, count, shift] = f.parameters as [Local, Local, Local, Local]
  const [bytes, target, end] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const pattern = f.local('i64')
  f.set(bytes, i32.const(4096))
  keepInPage(f, bytes, to)
  cutToElements(f, needs, bytes, count, shift)
  reach(f, needs, target, call(needs.probeWrite, to, bytes, forBlock(needs)))
  f.if(i32.gtU(bytes, i32.const(SHORT)), () => forgetTime(f))
  setPattern(f, pattern, value, shift)
  const byte = i64.and(pattern, i64.const(0xff))
  f.if(i64.eq(pattern, i64.mul(byte, i64.const(0x0101_0101_0101_0101n))), () => {
    f.memoryFill(MACHINE, target, i32.wrap(byte), bytes)
    f.return(i64.extendU(i32.shrU(bytes, shift)))
  })
  // Eight bytes at a time: a rest is a round of its own.
  f.set(bytes, i32.and(bytes, i32.const(-8)))
  f.set(end, i32.add(target, bytes))
  f.count(target, end, () => f.store('i64', MACHINE, target, pattern), 8)
  f.return(i64.extendU(i32.shrU(bytes, shift)))
  return f
}

/** The element as often as it fits into eight bytes. */
function setPattern(f: FunctionBuilder, pattern: Local, value: Local, shift: Local): void {
  f.set(pattern, value)
  const repeat = (step: number, mask: bigint, ones: bigint): void => {
    f.if(i32.eq(shift, i32.const(step)), () =>
      f.set(pattern, i64.mul(i64.and(value, i64.const(mask)), i64.const(ones))))
  }
  repeat(0, 0xffn, 0x0101_0101_0101_0101n)
  repeat(1, 0xffffn, 0x0001_0001_0001_0001n)
  repeat(2, 0xffff_ffffn, 0x0000_0001_0000_0001n)
}
