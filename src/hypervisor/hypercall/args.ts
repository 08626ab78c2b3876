/**
 * The registers of a hypercall: six 64-bit words, read in the form that an argument has.
 *
 * One object a caller, used again for each call. A handler that has done only part of its work sets
 * the arguments of the rest and `restart`; the core then writes them back to the registers and
 * leaves the instruction pointer on the hypercall, so that interrupts get their turn.
 */
export class HypercallArgs {
  readonly lo = new Uint32Array(6)
  readonly hi = new Uint32Array(6)
  restart = false

  /** An unsigned int: the low 32 bits. */
  u32(index: number): number {
    return this.lo[index]!
  }

  /** 64 unsigned bits as a number; above 2^53 the low bits are lost. */
  u53(index: number): number {
    return this.hi[index]! * 0x1_0000_0000 + this.lo[index]!
  }

  /** A pointer: signed, so that both canonical halves are exact. */
  pointer(index: number): number {
    return (this.hi[index]! | 0) * 0x1_0000_0000 + this.lo[index]!
  }

  u64(index: number): bigint {
    return BigInt(this.hi[index]!) << 32n | BigInt(this.lo[index]!)
  }

  set(index: number, value: number): void {
    this.lo[index] = value % 0x1_0000_0000
    this.hi[index] = Math.floor(value / 0x1_0000_0000)
  }

  setU64(index: number, value: bigint): void {
    this.lo[index] = Number(value & 0xffff_ffffn)
    this.hi[index] = Number(value >> 32n & 0xffff_ffffn)
  }
}
