/**
 * Units of integer instructions, with all widths, partial registers and high bytes.
 */
import { Choices, widths } from './choices.ts'
import { type Form, RCX } from './encoder.ts'

export class IntegerUnits extends Choices {
  arithmetic(): void {
    const code = this.code
    const width = this.pick(widths)
    const small = width === 8 ? 0 : 1
    const which = this.random.below(8)
    switch (this.random.below(5)) {
      case 0:
        code.op([which << 3 | small], this.registerOf(width), this.target(width), { width })
        return
      case 1:
        code.op([which << 3 | 2 | small], this.registerOf(width), this.target(width), { width })
        return
      case 2: {
        const target = this.target(width)
        const byte = width === 8 || this.chance(2)
        code.op([width === 8 ? 0x80 : byte ? 0x83 : 0x81], which, target, { width })
        if (byte || width !== 16) this.at.patchable(byte ? 1 : 4)
        code.le(this.number(), byte ? 1 : width === 16 ? 2 : 4)
        return
      }
      case 3:
        code.op([0xfe | small], this.random.below(2), this.target(width), { width })
        return
      default:
        code.op([0xf6 | small], this.pick([2, 3]), this.target(width), { width })
    }
  }

  shift(): void {
    const code = this.code
    const width = this.pick(widths)
    const small = width === 8 ? 0 : 1
    const which = this.random.below(8)
    const target = this.target(width)
    switch (this.random.below(4)) {
      case 0: code.op([0xd0 | small], which, target, { width }); return
      case 1: code.op([0xd2 | small], which, target, { width }); return
      case 2:
        code.op([0xc0 | small], which, target, { width })
        code.raw(this.random.below(70))
        return
      default: {
        const wide = width === 8 ? 32 : width
        code.op([0x0f, this.pick([0xa4, 0xac])], this.register(), this.target(wide),
          { width: wide })
        code.raw(this.random.below(40))
      }
    }
  }

  /** Instructions that read flags which others left. */
  useFlags(): void {
    const code = this.code
    const condition = this.random.below(16)
    switch (this.random.below(9)) {
      case 0: code.op([0x0f, 0x90 | condition], 0, this.target(8), { width: 8 }); return
      case 1: case 2: {
        const width = this.pick([16, 32, 64] as const)
        code.op([0x0f, 0x40 | condition], this.register(), this.target(width), { width })
        return
      }
      case 3: code.raw(0x9c, 0x58 + this.pick([0, 1, 2, 3])); return // pushf; pop
      case 4: code.raw(0x9f); return // lahf
      case 5: code.raw(0x9e); return // sahf
      case 6: code.raw(this.pick([0xf5, 0xf8, 0xf9])); return // cmc, clc, stc
      case 7: { // popf
        code.raw(0x68)
        code.le(0x202 | this.random.next() & 0x8d5, 4)
        code.raw(0x9d)
        return
      }
      default: code.to(this.at.ahead(), 4, 0x0f, 0x80 | condition)
    }
  }

  multiply(): void {
    const code = this.code
    const width = this.pick(widths)
    const wide = width === 8 ? 32 : width
    switch (this.random.below(4)) {
      case 0: code.op([width === 8 ? 0xf6 : 0xf7], this.pick([4, 5]), this.target(width),
        { width }); return
      case 1: code.op([0x0f, 0xaf], this.register(), this.target(wide), { width: wide }); return
      case 2:
        code.op([0x6b], this.register(), this.target(wide), { width: wide })
        code.raw(this.number())
        return
      default: // A division that mostly fits.
        code.constant(RCX, this.number() | 1)
        code.raw(0x31, 0xd2) // xor edx, edx
        if (this.chance(2)) code.raw(0x25, ...[0xff, 0xff, 0, 0]) // and eax, 0xffff
        code.op([0xf7], this.pick([6, 6, 7]), RCX, { width: this.pick([32, 64] as const) })
    }
  }

  move(): void {
    const code = this.code
    const width = this.pick(widths)
    const small = width === 8 ? 0 : 1
    switch (this.random.below(7)) {
      case 0: code.op([0x88 | small], this.registerOf(width), this.target(width), { width })
        return
      case 1: code.op([0x8a | small], this.registerOf(width), this.target(width), { width })
        return
      case 2: code.op([0x0f, this.pick([0xb6, 0xbe])], this.register(), this.target(8),
        { width: this.pick([16, 32, 64] as const) }); return
      case 3: code.op([0x0f, this.pick([0xb7, 0xbf])], this.register(), this.target(16),
        { width: this.pick([32, 64] as const) }); return
      case 4: code.op([0x8d], this.register(), this.memory(), { width: 64 }); return
      case 5: code.op([0x86 | small], this.registerOf(width), this.target(width), { width })
        return
      default: code.constant(this.register(), this.number())
    }
  }

  bits(): void {
    const width = this.pick([16, 32, 64] as const)
    const code = this.code
    switch (this.random.below(4)) {
      case 0:
        code.op([0x0f, 0xba], 4 + this.random.below(4), this.target(width), { width })
        code.raw(this.random.below(256))
        return
      case 1: code.op([0x0f, this.pick([0xa3, 0xab, 0xb3, 0xbb])], this.register(),
        this.register(), { width }); return
      case 2: code.op([0x0f, this.pick([0xbc, 0xbd])], this.register(), this.target(width),
        { width }); return
      default: code.op([0x0f, 0xb8], this.register(), this.target(width),
        { width, mandatory: 0xf3 })
    }
  }

  locked(): void {
    const code = this.code
    const width = this.pick(widths)
    const small = width === 8 ? 0 : 1
    const form: Form = { width, lock: true }
    const memory = this.memory()
    switch (this.random.below(4)) {
      case 0: code.op([0x0f, 0xb0 | small], this.registerOf(width), memory, form); return
      case 1: code.op([0x0f, 0xc0 | small], this.registerOf(width), memory, form); return
      case 2: code.op([this.random.below(7) << 3 | small], this.registerOf(width), memory, form)
        return
      default: code.op([0xfe | small], this.random.below(2), memory, form)
    }
  }
}
