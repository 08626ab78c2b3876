/**
 * Arithmetic under MXCSR by the exact routine of isa/float: what the engine asks for when the fast
 * path has no answer, and the exceptions that come of it.
 */
import { float, floatFlags, fused } from '../../isa/float/float.ts'
import { BEFORE_COMPUTING } from '../../isa/float/round.ts'
import type { CpuContextView } from '../state.ts'
import { FLOAT_DOUBLE, FLOAT_OP_MASK, floatOps, fusedOps } from './float-number.ts'

/** Bits of MXCSR: the masks, and how far above its flag each stands. */
const MASKS = 0x1f80
const MASK_SHIFT = 7
const FLAGS = 0x3f

export class ExactFloat {
  readonly #context: CpuContextView
  /** Exceptions of the current instruction, while some are not masked. */
  #collected = 0

  constructor(context: CpuContextView) {
    this.#context = context
  }

  /** One operation, numbered as in float-number.ts. */
  compute(number: number, a: bigint, b: bigint): bigint {
    const op = floatOps[number & FLOAT_OP_MASK]!
    const width = number & FLOAT_DOUBLE ? 64 : 32
    const { mxcsr } = this.#context
    const result = float(op, width, BigInt.asUintN(64, a), BigInt.asUintN(64, b), mxcsr)
    this.#note(mxcsr)
    return BigInt.asIntN(64, result)
  }

  /** A fused operation. */
  fused(number: number, a: bigint, b: bigint, c: bigint): bigint {
    const op = fusedOps[number & FLOAT_OP_MASK]!
    const { mxcsr } = this.#context
    const result = number & FLOAT_DOUBLE
      ? fused(op, 64, BigInt.asUintN(64, a), BigInt.asUintN(64, b), BigInt.asUintN(64, c), mxcsr)
      : fused(op, 32, BigInt.asUintN(32, a), BigInt.asUintN(32, b), BigInt.asUintN(32, c), mxcsr)
    this.#note(mxcsr)
    return BigInt.asIntN(64, result)
  }

  #note(mxcsr: number): void {
    // The check that follows asks here only while some exception is not masked.
    if ((mxcsr & MASKS) === MASKS) this.#context.mxcsr = mxcsr | floatFlags
    else this.#collected |= floatFlags
  }

  /** Ends an instruction: sets the flags in MXCSR, and says whether #XM is due. */
  check(): boolean {
    const { mxcsr } = this.#context
    const collected = this.#collected
    const unmasked = collected & ~(mxcsr >> MASK_SHIFT) & FLAGS
    // An unmasked exception found before computing hides those found after, in all lanes.
    this.#context.mxcsr = mxcsr | (unmasked & BEFORE_COMPUTING
      ? collected & BEFORE_COMPUTING : collected)
    this.#collected = 0
    return unmasked !== 0
  }
}
