/**
 * What the reference reading works on: the registers of one processor and a memory given to it.
 */
import type { X87State } from '../machine.ts'

/** Memory by linear address, little-endian; throws ReferenceFault where there is none. */
export interface ReferenceMemory {
  load(address: bigint, size: number): bigint
  store(address: bigint, size: number, value: bigint): void
  /** Faults if `size` bytes cannot be written. */
  probeWrite(address: bigint, size: number): void
}

/** An exception of the guest. */
export class ReferenceFault extends Error {
  override readonly name = 'ReferenceFault'
  readonly vector: number
  readonly errorCode: number | undefined
  constructor(vector: number, errorCode?: number) {
    super(`exception ${vector}`)
    this.vector = vector
    this.errorCode = errorCode
  }
}

/** Bits of RFLAGS by the names that semantics use. */
export const flagBits = {
  cf: 1 << 0, pf: 1 << 2, af: 1 << 4, zf: 1 << 6, sf: 1 << 7, df: 1 << 10, of: 1 << 11,
} as const

class ReferenceX87 implements X87State {
  controlWord = 0x37f
  statusWord = 0
  tags = 0
  lastOpcode = 0
  lastIp = 0n
  lastDp = 0n
  lastCs = 0
  lastDs = 0
  readonly significands = new BigUint64Array(8)
  readonly signExponents = new Uint16Array(8)

  significand(index: number): bigint { return this.significands[index]! }
  signExponent(index: number): number { return this.signExponents[index]! }
  setRegister(index: number, signExponent: number, significand: bigint): void {
    this.signExponents[index] = signExponent
    this.significands[index] = significand
  }
}

export class ReferenceState {
  readonly gpr = new BigUint64Array(16)
  rip = 0n
  /** The six arithmetic flags and DF, in their places of RFLAGS. */
  flags = 0
  readonly xmm: bigint[] = new Array<bigint>(16).fill(0n)
  /** The upper halves. */
  readonly ymm: bigint[] = new Array<bigint>(16).fill(0n)
  mxcsr = 0x1f80
  readonly x87 = new ReferenceX87()
  readonly segmentBases = [0n, 0n, 0n, 0n, 0n, 0n]
  readonly selectors = [0, 0x33, 0x2b, 0, 0, 0]
  long = true
  stackWidth: 16 | 32 | 64 = 64
  cpl = 3
  cr0 = 0x8005_0033
  cr4 = 0x4_0620
  xcr0 = 7
  readonly memory: ReferenceMemory

  constructor(memory: ReferenceMemory) {
    this.memory = memory
  }
}
