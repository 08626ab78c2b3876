/**
 * Units of the state of x87, SSE and AVX: values that are not ordinary in all rounding modes, tags
 * between x87 and MMX, states saved and loaded in parts, and selectors.
 */
import type { Pattern } from '../../src/isa/decode/pattern.ts'
import { type Memory, R14, RAX, RCX, RDX, RSP } from './encoder.ts'
import { DATA_PAGES } from './machine.ts'
import { MemoryUnits } from './memory-units.ts'

const PAGE = 4096
const MXCSR_DEFAULT = 0x1f80
/** Sizes and places of XSAVE's standard form. */
const [XSAVE_BYTES, HEADER, ALIGNMENT] = [832, 512, 64]
const DOUBLES = [
  0x7ff0_0000_0000_0000n, 0xfff0_0000_0000_0000n, 0x7ff8_0000_0000_1234n, 0xfff4_0000_0000_5678n,
  0x7ff0_0000_0000_0001n, 0x0000_0000_0000_0001n, 0x800f_ffff_ffff_ffffn, 0x0010_0000_0000_0000n,
  0x7fef_ffff_ffff_ffffn, 0x3ff0_0000_0000_0000n, 0x8000_0000_0000_0000n, 0x3fd5_5555_5555_5555n,
] as const
/** Two each. */
const FLOATS = [
  0x7f80_0000_7fc0_1234n, 0xffa0_5678_0000_0001n, 0x807f_ffff_0080_0000n, 0x7f7f_ffff_3f80_0000n,
  0x3eaa_aaab_8000_0000n, 0x7f80_0001_ffc0_0001n,
] as const
/** ADD MUL SUB MIN DIV MAX SQRT. */
const ARITHMETIC = [0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x51] as const

/** XSAVE, XSAVEC and XSAVEOPT, by opcode and extension. */
const exactSaves = [[0xae, 4], [0xc7, 4]] as const
const saves = [...exactSaves, [0xae, 6]] as const
const FLOAT_NAMES = /^v?(f[mn]|cvt|round|cmp[ps]|u?comis|dpp)/

export abstract class StateUnits extends MemoryUnits {
  protected abstract takeAway(): void

  /** An instruction of one of some rows. */
  protected abstract ofRows(isWanted: (pattern: Pattern) => boolean): void

  /** Arithmetic of what is not ordinary, as MXCSR says. */
  floats(): void {
    const { code } = this
    if (this.chance(2)) this.#loadControl()
    for (const register of [1, 2, 3]) {
      code.constant64(RAX, this.pick(this.chance(2) ? DOUBLES : FLOATS))
      code.op([0x0f, 0x6e], register, RAX, { width: 64, mandatory: 0x66 })
      if (this.chance(2)) code.raw(0x66, 0x0f, 0x6c, 0xc0 | register << 3 | register) // punpcklqdq
      if (this.chance(3)) { // vinsertf128
        code.vex(0x18, { map: 3, prefix: 0x66, wide: true }, register, register, 1)
        code.raw(1)
      }
    }
    for (let more = 1 + this.random.below(5); more > 0; more--) this.#floatOperation()
    if (this.chance(3)) code.raw(0xc5, this.pick([0xf8, 0xf8, 0xfc]), 0x77) // vzeroupper, vzeroall
    if (this.chance(3)) code.op([0x0f, 0xae], 3, this.#word()) // stmxcsr
  }

  #word(): Memory {
    return { base: R14, displacement: this.random.below(DATA_PAGES * PAGE - 16) & -4 }
  }

  #loadControl(): void {
    const { code } = this
    const modes = this.pick([0, 0x2000, 0x4000, 0x6000]) | this.pick([0, 0, 0x40, 0x8000, 0x8040])
    const unmasked = this.chance(10) ? 0x80 << this.random.below(6) : 0
    code.raw(0x68)
    code.le(MXCSR_DEFAULT & ~unmasked | modes | this.pick([0, 0x20, 0x3f]), 4)
    code.op([0x0f, 0xae], 2, { base: RSP, displacement: 0 })
    code.short(0x58, RDX)
  }

  #floatOperation(): void {
    const { code } = this
    const [a, b, c] = [this.pick([1, 2, 3]), this.pick([1, 2, 3]), this.pick([1, 2, 3, 4])]
    const opcode = this.pick(ARITHMETIC)
    const prefix = this.pick([0, 0x66, 0xf2, 0xf3] as const)
    if (this.chance(4)) { // Of any row.
      this.ofRows(({ definition: { name } }) => FLOAT_NAMES.test(name))
    } else if (this.chance(2)) {
      const wide = prefix === 0 || prefix === 0x66
      const second = opcode === 0x51 && wide ? 0 : b
      code.vex(opcode, { map: 1, prefix, wide: wide && this.chance(2) }, c, second, a)
    } else {
      code.op([0x0f, opcode], a, b, prefix ? { mandatory: prefix } : {})
    }
  }

  /** x87 and MMX in turns, on a stack that may overflow. */
  x87AndMmx(): void {
    const { code } = this
    if (this.chance(4)) code.raw(0xdb, 0xe3) // fninit
    for (let more = 2 + this.random.below(7); more > 0; more--) {
      switch (this.random.below(8)) {
        case 0: code.raw(0xd9, this.pick([0xe8, 0xeb, 0xee])); break // fld1, fldpi, fldz
        case 1: code.raw(0xd9, this.pick([0xf6, 0xf7])); break // fdecstp, fincstp
        case 2: code.raw(0xdf, 0xe0); break // fnstsw ax
        case 3: code.raw(0x0f, 0x77); break // emms
        case 4: this.ofRows(({ row }) => row.operands.some((code) => /^[PQN]/.test(code))); break
        case 5: code.raw(0xdd, this.pick([0xc0, 0xd8]) | this.random.below(8)); break // ffree, fstp
        default: this.ofRows(({ definition: { name } }) => name.startsWith('f'))
      }
    }
  }

  /** Room for the state, often across a page's end. */
  #area(): Memory {
    const page = 1 + this.random.below(DATA_PAGES - 1)
    const lines = this.random.below(XSAVE_BYTES / ALIGNMENT + 2)
    return { base: R14, displacement: page * PAGE - lines * ALIGNMENT }
  }

  /** Saves the state, changes it, and loads some of it. */
  savedState(): void {
    const { code } = this
    const area = this.#area()
    const at = (offset: number): Memory => ({ ...area, displacement: area.displacement + offset })
    const width = this.pick([32, 64] as const)
    if (this.chance(3)) {
      code.op([0x0f, 0xae], 0, area, { width }) // fxsave
      for (const offset of [2, 3, 4]) { // The status word with its top, and tags.
        code.op([0xc6], 0, at(offset))
        code.raw(offset === 2 ? 0 : this.random.below(256) & (offset === 3 ? 0x7f : 0xff))
      }
      this.#change()
      code.op([0x0f, 0xae], 1, area, { width }) // fxrstor
      this.#forgetArea(area)
      return
    }
    code.raw(0x31, 0xc0) // xor eax, eax
    for (let offset = 0; offset < 64; offset += code.isLong ? 8 : 4) {
      code.op([0x89], RAX, at(HEADER + offset), { width: 64 })
    }
    this.#change()
    const wanted = (): void => {
      code.constant(RAX, this.pick([7, 7, 3, 1, 2, 4, 6, 5, 0, this.at.isNative ? 7 : -1]))
      code.constant(RDX, 0)
    }
    wanted()
    // What XSAVEOPT leaves out is the processor's choice.
    const [opcode, extension] = this.pick(this.at.isNative ? exactSaves : saves)
    code.op([0x0f, opcode], extension, area, { width })
    this.#change()
    if (this.chance(2)) wanted()
    code.op([0x0f, 0xae], 5, area, { width }) // xrstor
    code.op([0x0f, 0xae], 3, this.#word()) // stmxcsr
    this.#forgetArea(area)
  }

  /** What is saved also tells of the host's kernel, and of which registers its processor takes to
   * be in their initial state. */
  #forgetArea(area: Memory): void {
    const { code } = this
    if (!this.at.isNative) return
    code.constant(RAX, 0)
    code.constant(RCX, XSAVE_BYTES / 4)
    this.atDestination(area, () => code.raw(0xf3, 0xab)) // rep stosd
  }

  #change(): void {
    const { code } = this
    switch (this.random.below(6)) {
      case 0: code.raw(0xc5, this.pick([0xf8, 0xfc]), 0x77); return // vzeroupper, vzeroall
      case 1: this.#loadControl(); return
      case 2: code.raw(0xdb, 0xe3); return // fninit
      case 3: case 4:
        code.raw(0xc5, 0xfc, 0x77) // vzeroall
        this.#loadControl()
        return
      default: this.x87AndMmx()
    }
  }

  /** Null selectors, which a return to user code makes 0. */
  selectors(): void {
    const { code } = this
    if (this.at.isNative && !code.isLong) return
    const fsOrGs = this.pick([4, 5])
    code.constant(RAX, code.isLong ? this.pick([0, 1, 2, 3]) : this.pick([0, 3]))
    // Linux may load its own bases with null FS and GS.
    const segment = code.isLong ? this.pick(this.at.isNative ? [0, 3] : [0, 3, fsOrGs]) : fsOrGs
    code.raw(0x8e, 0xc0 | segment << 3)
    // Any interrupt of the host's makes it 0.
    if (this.chance(2) || this.at.isNative) this.takeAway()
    code.raw(0x8c, 0xc2 | segment << 3) // mov edx, ...
  }
}
