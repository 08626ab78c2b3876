/**
 * Operands: the codes that rows use for them, and what a decoder makes of them.
 *
 * A code is an addressing letter and a size letter, as in the opcode maps of the Intel SDM (volume
 * 2D, appendix A.2), or the name of a fixed register.
 *
 * | letter | operand | | letter | operand |
 * | --- | --- | --- | --- | --- |
 * | E | ModRM r/m: general register or memory | | V | ModRM reg: xmm |
 * | G | ModRM reg: general register | | W | ModRM r/m: xmm or memory |
 * | M | ModRM r/m: memory only | | U | ModRM r/m: xmm only |
 * | R | ModRM r/m: general register only | | P | ModRM reg: mm |
 * | Z | low three bits of the opcode and REX.B | | Q | ModRM r/m: mm or memory |
 * | I | immediate, sign-extended to 64 bits | | N | ModRM r/m: mm only |
 * | J | relative branch target | | S | ModRM reg: segment register |
 * | O | address without ModRM (moffs) | | C, D | ModRM reg: control, debug register |
 * | A | far pointer in the instruction | | F | x87 stack register (F0 is ST, Fi ModRM r/m) |
 * | X | memory at DS:rSI (or override) | | Y | memory at ES:rDI |
 * | B | VEX.vvvv: general register | | H | VEX.vvvv: xmm or ymm |
 * | K | memory at the base of SIB (gathers) | | T | SIB's index: xmm or ymm |
 * | L | upper half of an immediate byte: xmm or ymm | | | |
 *
 * Sizes: b 8, w 16, d 32, q 64, v the operand size (16, 32, 64), z 16 or 32 (32 when the operand
 * size is 64), y 32 or 64 (32 when the operand size is 16), x 128, qq 256, t 80, p a far pointer
 * (16 bits and z or v), s a pseudo-descriptor of a descriptor table, and nothing where memory has
 * no size (LEA).
 * A memory operand of an xmm code may be smaller: Wq is 64 bits of memory or the low half of a
 * register, Wd 32. I with a size shorter than the destination is already sign-extended: Ib in
 * `83 /0 Ev,Ib` has width 8 and value sign-extended to 64.
 * Fixed: AL AH CL DL AX DX eAX rAX rDX rCX 1 3 ES CS SS DS FS GS XMM0. The width of a J operand is
 * the operand size, whatever the size of its displacement.
 */

/** Sizes in bits of what an operand holds; 0 where it has none. */
export type Width = 0 | 8 | 16 | 32 | 48 | 64 | 80 | 128 | 256

export type Operand =
  /** `high`: AH, CH, DH or BH, whose index is then 0 to 3. */
  | { readonly kind: 'gpr', readonly width: Width, readonly index: number, readonly high: boolean }
  | MemoryOperand
  | { readonly kind: 'immediate', readonly width: Width, readonly value: bigint }
  /** A branch target: the displacement from the next instruction. */
  | { readonly kind: 'relative', readonly width: Width, readonly displacement: number }
  | { readonly kind: 'segment', readonly width: Width, readonly index: number }
  | { readonly kind: 'control', readonly width: Width, readonly index: number }
  | { readonly kind: 'debug', readonly width: Width, readonly index: number }
  /** A vector register: with width 256 all of it, else its lower half or less. */
  | { readonly kind: 'xmm', readonly width: Width, readonly index: number }
  | { readonly kind: 'mm', readonly width: Width, readonly index: number }
  | { readonly kind: 'st', readonly width: Width, readonly index: number }
  | { readonly kind: 'far', readonly width: Width, readonly selector: number,
    readonly offset: number }

export interface MemoryOperand {
  readonly kind: 'memory'
  readonly width: Width
  /** The segment after defaults and overrides. */
  readonly segment: number
  /** A general register's number, or -1. */
  readonly base: number
  readonly index: number
  /** 0 to 3: the index is shifted left by this; so is a gather's, which is an operand apart. */
  readonly scale: number
  /** Sign-extended; an O operand's whole address. */
  readonly displacement: bigint
  /** The address counts from the end of this instruction (64-bit code only). */
  readonly ripRelative: boolean
  /** 16, 32 or 64: effective addresses wrap at this width. */
  readonly addressWidth: 16 | 32 | 64
}

/** What a decoder found: one instruction with everything resolved but register contents. */
export interface Instruction {
  readonly definition: import('./definition.ts').Definition
  readonly row: import('./definition.ts').Row
  readonly length: number
  readonly operands: readonly Operand[]
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  /** The segment for implicit memory operands (string sources, XLAT): DS or the override. */
  readonly segment: number
  /** 0xf3 or 0xf2 when a repeat prefix stands before a string instruction, else 0. */
  readonly repeat: 0 | 0xf2 | 0xf3
  readonly lock: boolean
  /** The ModRM byte, for x87 instructions, which remember it. */
  readonly modrm?: number
}
