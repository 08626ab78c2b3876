/**
 * The pieces of random programs: a few instructions each, after which the stack is as deep as
 * before. R15 counts the edges back that are left, R14 is where the data begin.
 */
import { makeDecoder } from '../../src/isa/decode/decoder.ts'
import type { Pattern } from '../../src/isa/decode/pattern.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { assemble } from '../isa/host/assembler.ts'
import { LEGACY_MODE, LONG_MODE } from '../isa/host/layout.ts'
import { type Patch, widths } from './choices.ts'
import { R14, R15, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { isHarmless, isInexact, rows, rowsIn32Bits } from './rows.ts'
import { StateUnits } from './state-units.ts'
import {
  ALIAS_AT, CODE_AT, DATA_AT, DATA_PAGES, PROTECT, SWAP, UNMAP,
} from './machine.ts'

const sameForm = [0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39]
const decode = makeDecoder(allInstructions)

export class Units extends StateUnits {
  /** Runs one of the kinds. */
  run(): void {
    const kinds: readonly (readonly [number, () => void])[] = [
      [12, () => this.arithmetic()], [5, () => { this.shift(); this.defineFlags() }],
      [8, () => this.useFlags()], [4, () => this.anyRow()], [3, () => this.frame()],
      [2, () => this.stack()], [2, () => { this.multiply(); this.defineFlags() }],
      [1, () => this.string()], [2, () => { this.bits(); this.defineFlags() }],
      [2, () => this.locked()], [3, () => this.takeAway()], [2, () => this.patchedLater()],
      [2, () => this.patch()], [1, () => this.swap()], [1, () => this.wild()],
      [4, () => this.move()], [2, () => this.vector()], [3, () => this.comparison()],
      [3, () => this.tightLoop()], [3, () => this.walk()], [2, () => this.systemCall()],
      [8, () => this.border()], [2, () => this.stackAtBorder()], [2, () => this.floats()],
      [2, () => this.x87AndMmx()], [2, () => this.savedState()], [1, () => this.selectors()],
    ]
    // Each program has more of one kind.
    const favourite = this.at.theme % kinds.length
    const weights = kinds.map(([weight], kind) => kind === favourite ? weight + 12 : weight)
    let number = this.random.below(weights.reduce((sum, weight) => sum + weight, 0))
    for (const [kind, [, unit]] of kinds.entries()) {
      number -= weights[kind]!
      if (number >= 0) continue
      for (let more = 1 + this.random.below(3); more > 0; more--) unit()
      return
    }
  }

  /** Two values that differ by little, and what comes of it. */
  comparison(): void {
    const { code } = this
    const width = this.pick(widths)
    const [a, b] = [this.pick([RAX, RBX, RDX, 8]), this.pick([RCX, RSI, 9])]
    const value = this.number()
    code.constant(a, value)
    code.constant(b, value + this.pick([-1, 0, 0, 1]))
    const form = width === 8 && b === RSI ? { width: 32 } as const : { width }
    code.op([this.pick([0x38, 0x28]) | (form.width === 8 ? 0 : 1)], b, a, form)
    const condition = this.random.below(16)
    switch (this.random.below(3)) {
      case 0: code.op([0x0f, 0x90 | condition], 0, RDX, { width: 8 }); return
      case 1: code.op([0x0f, 0x40 | condition], 10, R14, { width: 64 }); return
      default: code.to(this.at.ahead(), 4, 0x0f, 0x80 | condition)
    }
  }

  /** A loop of one block, through which flags may live. */
  tightLoop(): void {
    const { code } = this
    const [head, registers] = [this.label(), [8, 9, 10, 11]]
    code.constant(RCX, 1 + this.random.below(9))
    code.label(head)
    for (let more = 1 + this.random.below(3); more > 0; more--) {
      const width = this.pick([16, 32, 64] as const)
      const target = this.chance(3) ? { base: R14, displacement: this.offset() }
        : this.pick(registers)
      switch (this.random.below(5)) {
        case 0: code.op([this.pick([0x11, 0x19, 0x13, 0x1b])], this.pick(registers), target,
          { width }); break
        case 1: code.op([0xff], this.random.below(2), target, { width }); break
        case 2: code.op([0x0f, 0x90 | this.random.below(16)], 0, target, { width: 8 }); break
        case 3: code.op([this.pick([0x01, 0x29, 0x39, 0x31, 0x3b])], this.pick(registers), target,
          { width }); break
        default: code.op([0xd1], this.random.below(6), target, { width })
      }
    }
    if (this.chance(3)) code.to(this.at.ahead(), 4, 0x0f, 0x80 | this.random.below(16))
    if (this.chance(2)) {
      code.to(head, 1, 0xe2) // loop
      return
    }
    code.op([0xff], 1, RCX)
    code.to(head, 4, 0x0f, 0x85)
  }

  /** A loop through pages, which may be taken away meanwhile. */
  walk(): void {
    const { code } = this
    const [head, base] = [this.label(), this.pick([RBX, RSI, 12])]
    const index = this.pick(code.isLong ? [RDI, 13] : [base === RBX ? 13 : RDI])
    const start = 4096 * (1 + this.random.below(DATA_PAGES - 1)) - this.random.below(200)
    code.constant(base, DATA_AT + start)
    code.constant(index, this.random.below(16))
    code.constant(RCX, 2 + this.random.below(40))
    code.label(head)
    for (let more = 1 + this.random.below(4); more > 0; more--) {
      const width = this.pick(widths)
      const opcode = this.pick([0x88, 0x8a, 0x8a, 0x00, 0x02, 0x38]) | (width === 8 ? 0 : 1)
      const displacement = this.pick([0, 0, 4, -8, 1, 600])
      const memory = this.chance(3) ? { base, index, scale: this.random.below(4), displacement }
        : { base, displacement }
      code.op([opcode], this.pick([RAX, RDX, 8]), memory, { width })
      if (this.chance(12)) this.takeAway()
    }
    if (this.chance(2)) code.op([0xff], 0, index, { width: 64 })
    code.op([0x83], this.pick([0, 0, 5]), base, { width: 64 })
    code.raw(this.pick([1, 3, 8, 8, 16, 100]))
    code.op([0xff], 1, RCX)
    code.to(head, 4, 0x0f, 0x85)
  }

  /** Accesses off one base register, which may change in between. */
  frame(): void {
    const code = this.code
    const base = this.pick([RBX, 5, RSI, 12, 13])
    code.constant(base, DATA_AT + 256 + Math.min(this.offset(), DATA_PAGES * 4096 - 1024))
    for (let more = 2 + this.random.below(6); more > 0; more--) {
      const width = this.pick(widths)
      const small = width === 8 ? 0 : 1
      const register = this.pick([RAX, RCX, RDX, RDI, 8])
      const displacement = this.pick([0, 8, 16, -8, -16, 1, 4, 100, -250])
      const memory = this.chance(5) ? { base, index: base, displacement: -DATA_AT }
        : { base, displacement }
      const opcode = this.pick([0x88, 0x8a, 0x88, 0x8a, 0x00, 0x02, 0x38, 0x28])
      if ('index' in memory) code.op([0x8d], register, memory, { width: 64 })
      else code.op([opcode | small], register, memory, { width })
      if (this.chance(3)) {
        code.op([0x83], this.pick([0, 5]), base, { width: 64 })
        code.raw(this.pick([1, 8, 64, -8]))
      }
      if (this.chance(8)) code.to(this.at.ahead(), 4, 0x0f, 0x80 | this.random.below(16))
    }
  }

  stack(): void {
    const code = this.code
    const pushed = 1 + this.random.below(3)
    for (let i = 0; i < pushed; i++) {
      if (this.chance(4)) code.op([0xff], 6, this.memory())
      else if (this.chance(4)) code.raw(0x6a, this.random.below(256))
      else code.short(0x50, this.pick([0, 1, 2, 3, 5, 6, 7]))
    }
    if (this.chance(2)) this.arithmetic()
    for (let i = 0; i < pushed; i++) {
      if (this.chance(6)) code.op([0x8f], 0, { base: R14, displacement: this.offset() })
      else code.short(0x58, this.pick([0, 1, 2, 3, 5, 6, 7]))
    }
  }

  string(): void {
    const code = this.code
    code.constant(RSI, DATA_AT + this.offset())
    code.constant(RCX, this.random.below(20))
    this.atDestination({ displacement: DATA_AT + this.offset() }, () => {
      if (this.chance(4)) code.raw(0xfd)
      if (this.chance(2)) code.raw(this.pick([0xf2, 0xf3]))
      if (code.isLong && this.chance(3)) code.raw(0x48)
      code.raw(this.pick([0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf]), 0xfc)
    })
  }

  vector(): void {
    const code = this.code
    const [a, b] = [this.random.below(16), this.random.below(16)]
    switch (this.random.below(6)) {
      case 0: code.op([0x0f, this.pick([0x6f, 0x7f])], a, this.memory(),
        { mandatory: this.pick([0x66, 0xf3]) }); return
      case 5: code.op([0x0f, this.pick([0x10, 0x11])], a, this.memory(),
        { mandatory: this.pick([0x66, 0xf2, 0xf3]) }); return
      case 1: code.op([0x0f, this.pick([0x6e, 0x7e])], a, this.target(64),
        { width: this.pick([32, 64] as const), mandatory: 0x66 }); return
      case 2: code.op([0x0f, this.pick([0xef, 0xfe, 0xd4, 0xfa, 0x74, 0xdb, 0xeb])], a, b,
        { mandatory: 0x66 }); return
      case 3: code.op([0x0f, this.pick([0x58, 0x59, 0x5c, 0x5e, 0x51])], a, b,
        { mandatory: this.pick([0xf2, 0xf3]) }); return
      default: code.op([0x0f, this.pick([0x2e, 0x2f])], a, b, { mandatory: 0x66 })
    }
  }

  /** An instruction of any row that only touches registers or the window. */
  anyRow(): void {
    this.ofRows(() => true)
  }

  protected override ofRows(isWanted: (pattern: Pattern) => boolean): void {
    const { code } = this
    const [mode, all] = code.isLong ? [LONG_MODE, rows] : [LEGACY_MODE, rowsIn32Bits]
    const of = all.filter(isWanted)
    const kept = [RSP, R14, R15].map((register) => code.register(register))
    for (let attempt = 0; attempt < 60; attempt++) {
      const bytes = assemble(this.pick(of), this.random, !code.isLong)
      const found = bytes.length <= 15 && decode(bytes, mode)
      if (!found || typeof found === 'string' || found.length !== bytes.length) continue
      if (!isHarmless(found, kept)) continue
      if (this.at.isNative && isInexact.test(found.definition.name)) continue
      code.raw(...bytes)
      if (found.definition.fields.undefinedFlags) this.defineFlags()
      return
    }
  }

  protected override takeAway(): void {
    this.code.raw(0xcd, this.pick([UNMAP, PROTECT]) + this.random.below(DATA_PAGES))
  }

  systemCall(): void {
    if (this.code.isLong && !this.at.isNative) this.code.raw(0x0f, 0x05)
  }

  swap(): void {
    if (!this.at.isNative) this.code.raw(0xcd, SWAP)
  }

  /** Code that another unit may write to. */
  patchedLater(): void {
    const code = this.code
    if (this.chance(2)) {
      code.short(0xb8, this.pick([0, 1, 2, 3, 5, 6, 7]))
      this.at.patchable(4)
      code.le(this.number(), 4)
    } else {
      this.at.patchable(1, sameForm)
      code.raw(this.pick(sameForm), 0xc0 | this.pick([0, 1, 2, 3]) << 3 | this.pick([0, 1, 2]))
    }
  }

  /** A store into code: that of another unit, or what comes next. */
  patch(): void {
    const code = this.code
    if (this.at.isNative) return
    const alias = this.chance(2) ? ALIAS_AT - CODE_AT : 0
    const register = this.register()
    const store = ({ label, size, values }: Patch): void => {
      code.address(register, label)
      code.op([size === 1 ? 0xc6 : 0xc7], 0, { base: register, displacement: alias })
      code.le(values ? this.pick(values) : this.number(), size)
    }
    const patch = this.at.patch()
    if (patch && this.chance(2)) {
      store(patch)
      return
    }
    const label = this.label()
    store({ label, size: 1, values: sameForm })
    if (this.chance(3)) this.arithmetic()
    code.label(label)
    code.raw(this.pick(sameForm), 0xc0 | this.pick([0, 1, 2, 3]) << 3 | this.pick([0, 1, 2]))
  }

  /** An access that seldom ends well. */
  wild(): void {
    if (!this.chance(12)) return
    const code = this.code
    const base = this.register()
    code.constant64(base, this.pick([
      0n, 0x8000_0000_0000_0000n, 0x2020_0000n, 0x1000_4fffn, 0xffff_ffc0n,
    ]))
    code.op([0x8b], RAX, { base, displacement: this.random.below(64) })
  }

  /** How a unit goes on: mostly to the next, sometimes elsewhere. */
  leave(): void {
    const code = this.code
    const { ahead, behind, callee } = this.at
    switch (this.random.below(12)) {
      case 0: case 1:
        code.to(ahead(), 4, 0x0f, 0x80 | this.random.below(16))
        return
      case 2: case 3: // A loop that its count ends.
        code.op([0x83], 5, R15, { width: 64 })
        code.raw(1)
        code.to('out of fuel', 4, 0x0f, 0x86)
        code.op([0xf6], 0, R15, { width: 8 }) // test r15b, ...
        code.raw(this.pick([1, 3, 7, 15]))
        code.to(behind(), 4, 0x0f, 0x85)
        return
      case 4: { // One that leaves the flags alone.
        const [on, over] = [this.label(), this.label()]
        code.to(over, 1, 0x70 | this.random.below(16))
        code.op([0x87], RCX, R15, { width: 64 })
        code.to(on, 1, 0xe2) // loop
        code.to('out of fuel', 4, 0xe9)
        code.label(on)
        code.op([0x87], RCX, R15, { width: 64 })
        code.to(behind(), 4, 0xe9)
        code.label(over)
        return
      }
      case 5: this.#call(callee()); return
      case 6: this.#call(callee()); return
      case 7:
        if (this.chance(2)) this.#byTable(4, ahead)
        else this.#computedJump(ahead())
        return
      case 8: code.to(ahead(), 4, 0xe9); return
      default:
    }
  }

  #computedJump(label: string): void {
    const code = this.code
    const register = this.register()
    code.address(register, label)
    switch (this.random.below(3)) {
      case 0: code.op([0xff], 4, register); return
      case 1: // By a return.
        code.short(0x50, register)
        code.raw(0xc3)
        return
      default: {
        const displacement = this.offset()
        code.op([0x89], register, { base: R14, displacement }, { width: 64 })
        code.op([0xff], 4, { base: R14, displacement })
      }
    }
  }

  /** A call (2) or a jump (4) by a table in the data, where the fuel says. */
  #byTable(operation: 2 | 4, label: () => string): void {
    const code = this.code
    const [register, places] = [this.register(), this.pick([2, 4, 8])]
    const displacement = Math.min(this.offset(), DATA_PAGES * 4096 - places * 8)
    for (let place = 0; place < places; place++) {
      code.address(register, label())
      code.op([0x89], register, { base: R14, displacement: displacement + place * 8 },
        { width: 64 })
    }
    code.op([0x89], R15, register)
    code.op([0x83], 4, register)
    code.raw(places - 1)
    code.op([0xff], operation, { base: R14, index: register, scale: 3, displacement })
  }

  #call(label: string | undefined): void {
    if (!label) return
    const code = this.code
    if (this.chance(6)) {
      this.#byTable(2, () => this.at.callee()!)
    } else if (this.chance(4)) {
      const register = this.register()
      code.address(register, label)
      code.op([0xff], 2, register)
    } else {
      code.to(label, 4, 0xe8)
    }
    // The function may return behind it.
    code.raw(0x90)
  }

  /** The end of a function. */
  return(): void {
    const code = this.code
    switch (this.random.below(5)) {
      case 0: { // Sometimes one byte further on.
        const straight = this.label()
        code.to(straight, 1, 0x70 | this.random.below(16))
        code.op([0xff], 0, { base: RSP, displacement: 0 }, { width: 64 })
        code.label(straight)
        code.raw(0xc3)
        return
      }
      case 1: code.raw(0x59, 0xff, 0xe1); return // pop rcx; jmp rcx
      default: code.raw(0xc3)
    }
  }
}
