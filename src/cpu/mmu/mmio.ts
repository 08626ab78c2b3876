/**
 * Accesses that reach no memory: a stop for whoever answers them, and the answers of a replay.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { MMIO_ANSWERS, Stop } from '../core-memory.ts'
import { type AccessParts, controlAt, controlWord, type MmuEnvironment } from './environment.ts'

const c32 = (value: number): Expression => i32.const(value)
const c64 = (value: number | bigint): Expression => i64.const(value)

/** Stops for a caller that must answer; `place` is the guest-physical address. */
function emitStop(
  f: FunctionBuilder, { env, globals }: AccessParts, stop: number, place: Expression,
  size: Expression,
): void {
  f.store('i64', env.core, c32(0), place, controlAt('accessAddress'))
  f.store('i32', env.core, c32(0), size, controlAt('accessSize'))
  f.store('i32', env.core, c32(0), c32(stop), controlAt('stop'))
  f.setGlobal(globals.status, c32(stop))
}

/** Runs `body` if the next access to MMIO has been answered, and counts it. */
function ifAnswered(
  f: FunctionBuilder, env: MmuEnvironment, body: (index: Expression) => void,
): void {
  const index = controlWord(env, 'replayIndex')
  f.if(i32.ltU(index, controlWord(env, 'replayCount')), () => {
    f.store('i32', env.core, c32(0), i32.add(index, c32(1)), controlAt('replayIndex'))
    body(i32.sub(index, c32(1)))
  })
}

/** (guest-physical address i64, size i32) -> the answer i64, cut to the size. */
export function buildMmioRead(module: ModuleBuilder, parts: AccessParts): FunctionBuilder {
  const { env } = parts
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  const [place, size] = f.parameters as [Local, Local]
  ifAnswered(f, env, (index) => {
    const at = i32.shl(i32.and(index, c32(MMIO_ANSWERS - 1)), c32(3))
    const unused = i64.sub(c64(64), i64.shl(i64.extendU(size), c64(3)))
    const value = i64.load(env.core, at, controlAt('replayValues'))
    f.return(i64.shrU(i64.shl(value, unused), unused))
  })
  emitStop(f, parts, Stop.MMIO_READ, place, size)
  f.return(c64(0))
  return f
}

/** (guest-physical address i64, size i32, value i64) -> status i32. */
export function buildMmioWrite(module: ModuleBuilder, parts: AccessParts): FunctionBuilder {
  const { env } = parts
  const f = module.function({ parameters: ['i64', 'i32', 'i64'], result: 'i32' })
  const [place, size, value] = f.parameters as [Local, Local, Local]
  ifAnswered(f, env, () => f.return(c32(0)))
  const unused = i64.sub(c64(64), i64.shl(i64.extendU(size), c64(3)))
  f.store('i64', env.core, c32(0), i64.shrU(i64.shl(value, unused), unused),
    controlAt('accessValue'))
  emitStop(f, parts, Stop.MMIO_WRITE, place, size)
  f.return(c32(Stop.MMIO_WRITE))
  return f
}
