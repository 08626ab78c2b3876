/**
 * Units of accesses off one base register near a page's end: ordinary ones, and those that may not
 * be made, or not where their operand begins. What is noted of one must hold for the next.
 */
import { type Memory, R15, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { widths } from './choices.ts'
import { IntegerUnits } from './integer-units.ts'
import { DATA_AT, DATA_PAGES, FS_BASE, GS_BASE, PROTECT, UNMAP } from './machine.ts'

const PAGE = 4096
const ADDRESS_SIZE = 0x67
/** With the base that they bring. */
const prefixes = [[0x64, FS_BASE], [0x65, GS_BASE], [ADDRESS_SIZE, 0]] as const
/** Registers that hold values here; bases are others, in 32-bit code too. */
const values = [RAX, RDX] as const
const MASK = 7
/** Of vectors; it has its number in 32-bit code too. */
const INDEX = 6

export class MemoryUnits extends IntegerUnits {
  #page = 1
  #base: number = RBX

  /** Accesses on both sides of a page's end, in a loop or not. */
  border(): void {
    const { code } = this
    this.#page = 1 + this.random.below(DATA_PAGES - 1)
    // In 32-bit code, too, these are two.
    const bases = [RBX, this.pick([RSI, 12, 13])]
    for (const base of bases) {
      code.constant(base, DATA_AT + this.#page * PAGE - this.random.below(90))
    }
    const head = this.chance(3) ? undefined : this.label()
    if (head) code.label(head)
    for (let more = 3 + this.random.below(8); more > 0; more--) {
      this.#base = this.pick(bases)
      this.#access()
    }
    if (!head) return
    code.op([0x83], 5, R15, { width: 64 })
    code.raw(1)
    code.to('out of fuel', 4, 0x0f, 0x86)
    code.op([0xf6], 0, R15, { width: 8 }) // test r15b, ...
    code.raw(this.pick([3, 7, 15]))
    code.to(head, 4, 0x0f, 0x85)
  }

  #near(): Memory {
    const displacement = this.pick([0, 0, 8, 16, 32, 64, -8, -64, 1, 3, 5, 37])
    return { base: this.#base, displacement }
  }

  #access(): void {
    const kinds: readonly (readonly [number, () => void])[] = [
      [12, () => this.#ordinary()], [3, () => this.#vectorMove()], [8, () => this.#maskedMove()],
      [2, () => this.#gather()], [1, () => this.#maskedBytes()], [2, () => this.#conditional()],
      [2, () => this.#repeated()], [2, () => this.#compareExchange()], [2, () => this.#bitString()],
      [2, () => this.#swapped()], [2, () => this.#otherBase()], [2, () => this.#segment()],
      [3, () => this.#moveBase()], [2, () => this.#takeAway()], [1, () => this.#translateByte()],
      [1, () => this.#fromRip()], [5, () => this.#unknownBase()],
    ]
    let number = this.random.below(kinds.reduce((sum, [weight]) => sum + weight, 0))
    kinds.find(([weight]) => (number -= weight) < 0)![1]()
  }

  #ordinary(): void {
    const width = this.pick(widths)
    const opcode = this.pick([0x88, 0x8a, 0x88, 0x8a, 0x00, 0x02, 0x38]) | (width === 8 ? 0 : 1)
    const lock = opcode < 2 && this.chance(3)
    const register = this.#base === RDX ? RAX : this.pick(values)
    this.code.op([opcode], register, this.#near(), { width, lock })
  }

  /** Nothing is known of a page that is first accessed where perhaps it is not. */
  #unknownBase(): void {
    const base = this.#base
    this.code.short(0x50, base)
    this.code.short(0x58, RDX)
    this.#base = RDX
    if (this.chance(4)) this.#gather()
    else this.#maskedMove()
    for (let more = 1 + this.random.below(3); more > 0; more--) {
      if (this.chance(4)) this.#vectorMove()
      else this.#ordinary()
    }
    this.#base = base
  }

  #vectorMove(): void {
    const register = this.random.below(6)
    if (this.chance(2)) {
      this.code.vex(this.pick([0x6f, 0x7f]), { map: 1, prefix: 0xf3, wide: this.chance(2) },
        register, 0, this.#near())
      return
    }
    this.code.op([0x0f, this.pick([0x10, 0x11, 0x12, 0x13, 0x16, 0x17])], register, this.#near(),
      { mandatory: 0x66 })
  }

  /** Bytes that become the elements of a register. */
  #elements(register: number, bytes: () => number, isQuad: boolean): void {
    const { code } = this
    let value = 0n
    for (let i = 0; i < 8; i++) value = value << 8n | BigInt(bytes())
    code.constant64(RAX, value)
    code.vex(0x6e, { map: 1, prefix: 0x66, w: code.isLong }, register, 0, RAX) // vmovq
    const extend = isQuad ? 0x22 : 0x21 // vpmovsxbq, vpmovsxbd
    code.vex(extend, { map: 2, prefix: 0x66, wide: true }, register, 0, register)
  }

  #mask(isQuad: boolean): void {
    const chosen = this.pick([0, 2, 2, 3, 8])
    this.#elements(MASK, () => this.random.below(8) < chosen ? 0x80 : 0, isQuad)
  }

  #maskedMove(): void {
    const isQuad = this.chance(3)
    if (this.chance(4)) { // The data's own bits.
      this.code.vex(0x6f, { map: 1, prefix: 0xf3, wide: true }, MASK, 0, this.memory())
    } else if (this.chance(3)) {
      this.code.vex(0x66, { map: 1, prefix: 0x66, wide: true }, MASK, 0, 1) // vpcmpgtd
    } else {
      this.#mask(isQuad)
    }
    const opcode = this.chance(2) ? this.pick([0x8c, 0x8e]) : this.pick([0x2c, 0x2e])
    const isFloat = opcode < 0x80
    this.code.vex(isFloat && isQuad ? opcode + 1 : opcode,
      { map: 2, prefix: 0x66, w: isQuad && !isFloat, wide: this.chance(2) },
      this.random.below(6), MASK, this.#near())
  }

  #gather(): void {
    const isQuad = this.chance(2)
    this.#elements(INDEX, () => this.random.below(80) - 40 & 0xff, this.chance(2))
    this.#mask(isQuad)
    const form = { map: 2, prefix: 0x66, w: isQuad, wide: this.chance(2) } as const
    this.code.vex(this.pick([0x90, 0x92]), form, this.random.below(6), MASK, {
      ...this.#near(), index: INDEX, scale: this.random.below(4),
    })
  }

  /** Emits what writes to [RDI], which is a register with a meaning in 32-bit code. */
  protected atDestination(at: Memory, emit: () => void): void {
    const { code } = this
    code.op([0x8d], RDI, at, { width: 64 })
    if (code.isLong) {
      emit()
      return
    }
    code.raw(0x87, 0xdf) // xchg edi, ebx
    emit()
    code.raw(0x87, 0xdf)
  }

  #maskedBytes(): void {
    this.#elements(MASK, () => this.pick([0, 0x80]), false)
    this.atDestination(this.#near(), () => {
      if (this.chance(2)) this.code.raw(0x66, 0x0f, 0xf7, 0xcf) // maskmovdqu xmm1, xmm7
      else this.code.raw(0x0f, 0xf7, this.pick([0xca, 0xd3])) // maskmovq
    })
  }

  #conditional(): void {
    const width = this.pick([16, 32, 64] as const)
    this.code.op([0x0f, 0x40 | this.random.below(16)], this.pick(values), this.#near(), { width })
  }

  /** A string operation, often of no or few rounds, in either direction. */
  #repeated(): void {
    const { code } = this
    code.constant(RCX, this.pick([0, 0, 1, 2, 5, 40]))
    const isSource = code.register(this.#base) === RSI
    if (!isSource || this.chance(2)) code.op([0x8d], RSI, this.#near(), { width: 64 })
    this.atDestination(this.#near(), () => {
      if (this.chance(2)) code.raw(0xfd)
      code.raw(this.pick([0xf2, 0xf3, 0xf3]))
      if (code.isLong && this.chance(3)) code.raw(0x48)
      code.raw(this.pick([0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf]), 0xfc)
    })
    if (isSource) code.constant(RSI, DATA_AT + this.#page * PAGE - this.random.below(90))
  }

  #compareExchange(): void {
    const { code } = this
    const lock = this.chance(2)
    if (this.chance(3)) code.op([0x0f, 0xc7], 1, this.#near(), { lock }) // cmpxchg8b
    const width = this.pick(widths)
    if (this.chance(2)) code.op([0x8a | (width === 8 ? 0 : 1)], RAX, this.#near(), { width })
    code.op([0x0f, width === 8 ? 0xb0 : 0xb1], RDX, this.#near(), { width, lock })
  }

  /** A bit that the operand is the place of only by way of the offset. */
  #bitString(): void {
    const { code } = this
    code.constant(RDX, this.random.below(2048) - 1024)
    if (code.isLong) code.raw(0x48, 0x63, 0xd2) // movsxd rdx, edx
    const opcode = this.pick([0xa3, 0xab, 0xb3, 0xbb])
    const width = this.pick([16, 32, 64] as const)
    code.op([0x0f, opcode], RDX, this.#near(), { width, lock: opcode !== 0xa3 && this.chance(4) })
  }

  /** MOVBE. */
  #swapped(): void {
    this.code.op([0x0f, 0x38, this.pick([0xf0, 0xf1])], this.pick(values), this.#near(),
      { width: this.pick([16, 32, 64] as const) })
  }

  /** The same place by another register. */
  #otherBase(): void {
    const { code } = this
    const other = this.pick(values)
    code.op([0x8d], other, this.#near(), { width: 64 })
    const condition = this.random.below(16)
    if (this.chance(3)) code.op([0x0f, 0x40 | condition], other, this.#base, { width: 64 })
    code.op([this.pick([0x8b, 0x89, 0x01])], other === RAX ? RDX : RAX,
      { base: other, displacement: this.pick([0, 4, -16]) }, { width: 32 })
  }

  /** By another segment, or by an address of 32 bits. */
  #segment(): void {
    const { base, displacement } = this.#near()
    const [prefix, segmentBase] = this.pick(prefixes)
    // Linux's FS is the C library's, and its 32-bit code has no GS.
    if (this.at.isNative && (prefix === 0x64 || !this.code.isLong)) return
    if (prefix === ADDRESS_SIZE && !this.code.isLong) return
    const place = this.chance(2) ? displacement : displacement - segmentBase
    this.code.op([this.pick([0x8b, 0x89, 0x01])], this.pick(values),
      { base: base!, displacement: place }, { width: 32, before: [prefix] })
  }

  #moveBase(): void {
    const { code } = this
    const [base, step] = [this.#base, this.pick([4, 8, 16, -8, -32, 1])]
    switch (this.random.below(4)) {
      case 0: code.op([0x8d], base, { base, displacement: step }, { width: 64 }); return
      case 1: // By way of the stack.
        code.short(0x50, base)
        code.op([0x83], 0, { base: RSP, displacement: 0 }, { width: 64 })
        code.raw(step)
        code.short(0x58, base)
        return
      case 2: // Perhaps.
        code.op([0x8d], RAX, { base, displacement: step }, { width: 64 })
        code.op([0x0f, 0x40 | this.random.below(16)], base, RAX, { width: 64 })
        return
      default:
        code.op([0x83], 0, base, { width: 64 })
        code.raw(step)
    }
  }

  /** One of the two pages. */
  #takeAway(): void {
    this.code.raw(0xcd, this.pick([UNMAP, PROTECT]) + this.#page - this.random.below(2))
  }

  #translateByte(): void {
    if (this.#base === RBX) this.code.raw(0xd7)
  }

  #fromRip(): void {
    const displacement = DATA_AT + this.#page * PAGE - this.random.below(20)
    this.code.op([this.pick([0x8b, 0x89, 0x01, 0x39])], this.pick(values),
      { fromRip: true, displacement }, { width: this.pick([16, 32, 64] as const) })
  }

  /** Operands on a stack that crosses a page's end, and relative to its top. */
  stackAtBorder(): void {
    const { code } = this
    const page = 1 + this.random.below(DATA_PAGES - 1)
    code.op([0x89], RSP, RDX, { width: 64 })
    code.op([0x8d], RSP, {
      base: 14, displacement: page * PAGE + (this.random.below(15) - 4) * 4,
    }, { width: 64 })
    for (let more = 2 + this.random.below(5); more > 0; more--) {
      const near = { base: RSP, displacement: this.pick([-16, -8, -4, 0, 0, 4, 8, 24]) }
      switch (this.random.below(8)) {
        case 0: code.op([0xff], 6, near); break
        case 1: code.op([0x8f], 0, near); break
        case 2: code.short(0x50, this.pick([RAX, RCX, RSP])); break
        case 3: code.short(0x58, this.pick([RAX, RCX])); break
        case 4: code.op([this.pick([0x8b, 0x89, 0x01])], RAX, near, { width: 64 }); break
        case 5: this.#enterAndLeave(); break
        case 6: code.raw(0xcd, this.pick([UNMAP, PROTECT]) + page - this.random.below(2)); break
        default: code.raw(0x9c, 0x9d) // pushf; popf
      }
    }
    code.op([0x89], RDX, RSP, { width: 64 })
  }

  #enterAndLeave(): void {
    const { code } = this
    code.raw(0x55, 0x89, 0xe5) // push rbp; mov ebp, esp
    code.raw(0xc8, this.random.below(64), 0, this.random.below(4))
    if (this.chance(2)) code.raw(0x89, 0x45, this.pick([0, -4, -8, -24])) // mov [rbp + ...], eax
    code.raw(0xc9, 0x5d) // leave; pop rbp
  }
}
