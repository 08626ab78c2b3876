/**
 * The effects reading: what an instruction reads and writes, without computing anything.
 *
 * Both sides of a condition count, so `flagsWritten` is what may be written. General registers of
 * operands are counted with those of addresses; masks have a bit a register.
 */
import { RAX, RDX, RSP } from '../../abi/x86/registers.ts'
import type { Backend, Flags, FloatOp, StateTransfer } from '../backend.ts'
import type { FlagName } from '../definition.ts'
import type { Instruction, Operand } from '../operand.ts'
import type { VectorOp } from '../vector-op.ts'

/** Letters of the flags: o s z a p c, and d for DF. */
const letters: Readonly<Record<FlagName | 'df', string>> = {
  of: 'o', sf: 's', zf: 'z', af: 'a', pf: 'p', cf: 'c', df: 'd',
}

/** Flags that the conditions read, by code / 2. */
const conditionFlags = ['o', 'c', 'z', 'cz', 's', 'p', 'so', 'soz'] as const

export interface Effects {
  readonly flagsRead: ReadonlySet<string>
  readonly flagsWritten: ReadonlySet<string>
  /** Those that it writes whatever its operands are. */
  readonly flagsAlwaysWritten: ReadonlySet<string>
  readonly gprRead: number
  readonly gprWritten: number
  readonly loads: boolean
  readonly stores: boolean
  /** Control may go elsewhere than to the next instruction. */
  readonly branches: boolean
  readonly faults: boolean
}

/** What `execute` of the instruction's definition does; undefined for services. */
export function effectsOf(instruction: Instruction, long = true): Effects | undefined {
  const execute = instruction.definition.fields.execute
  if (!execute) return undefined
  const effects = new EffectsBackend(instruction, long)
  execute<Unknown>(effects, ...instruction.operands)
  return effects
}

/** A value that is not computed. */
type Unknown = 'value'
const VALUE: Unknown = 'value'

class EffectsBackend implements Backend<Unknown>, Effects {
  readonly flagsRead = new Set<string>()
  readonly flagsWritten = new Set<string>()
  readonly flagsAlwaysWritten = new Set<string>()
  #conditions = 0
  gprRead = 0
  gprWritten = 0
  loads = false
  stores = false
  branches = false
  faults = false
  readonly long: boolean
  readonly stackWidth: 32 | 64
  readonly #instruction: Instruction

  constructor(instruction: Instruction, long: boolean) {
    this.#instruction = instruction
    this.long = long
    this.stackWidth = long ? 64 : 32
  }

  get operandSize() { return this.#instruction.operandSize }
  get addressSize() { return this.#instruction.addressSize }
  get segment() { return this.#instruction.segment }
  widthOf(operand: Operand): number { return operand.width }
  isMemory(operand: Operand): boolean { return operand.kind === 'memory' }
  immediate(): Unknown { return VALUE }

  read(operand: Operand): Unknown {
    if (operand.kind === 'gpr') this.gprRead |= 1 << operand.index
    if (operand.kind === 'memory') this.#load(operand)
    return VALUE
  }

  readSigned(operand: Operand): Unknown { return this.read(operand) }
  readForWrite(operand: Operand): Unknown { return this.read(operand) }

  write(operand: Operand): void {
    if (operand.kind === 'gpr') this.gprWritten |= 1 << operand.index
    if (operand.kind === 'memory') this.#store(operand)
  }

  address(operand: Operand): Unknown {
    if (operand.kind === 'memory') {
      if (operand.base >= 0) this.gprRead |= 1 << operand.base
      if (operand.index >= 0) this.gprRead |= 1 << operand.index
    }
    return VALUE
  }

  #load(operand: Operand): void {
    this.address(operand)
    this.loads = true
    this.faults = true
  }

  #store(operand: Operand): void {
    this.address(operand)
    this.stores = true
    this.faults = true
  }

  loadAt(operand: Operand): Unknown {
    this.#load(operand)
    return VALUE
  }

  loadForWriteAt(operand: Operand): Unknown { return this.loadAt(operand) }

  storeAt(operand: Operand): void { this.#store(operand) }

  gpr(index: number): Unknown {
    this.gprRead |= 1 << index
    return VALUE
  }

  setGpr(index: number): void { this.gprWritten |= 1 << index }

  load(): Unknown {
    this.loads = true
    this.faults = true
    return VALUE
  }

  store(): void {
    this.stores = true
    this.faults = true
  }

  loadStack(): Unknown { return this.load() }
  storeStack(): void { this.store() }

  push(): void {
    this.store()
    this.gprRead |= 1 << RSP
    this.gprWritten |= 1 << RSP
  }

  pop(): Unknown {
    this.gprRead |= 1 << RSP
    this.gprWritten |= 1 << RSP
    return this.load()
  }

  const(): Unknown { return VALUE }
  add(): Unknown { return VALUE }
  sub(): Unknown { return VALUE }
  mul(): Unknown { return VALUE }
  mulHighUnsigned(): Unknown { return VALUE }
  mulHighSigned(): Unknown { return VALUE }
  divideUnsigned(): Unknown { return VALUE }
  and(): Unknown { return VALUE }
  or(): Unknown { return VALUE }
  xor(): Unknown { return VALUE }
  not(): Unknown { return VALUE }
  neg(): Unknown { return VALUE }
  shl(): Unknown { return VALUE }
  shr(): Unknown { return VALUE }
  sar(): Unknown { return VALUE }
  rotl(): Unknown { return VALUE }
  rotr(): Unknown { return VALUE }
  rotl32(): Unknown { return VALUE }
  rotr32(): Unknown { return VALUE }
  clz(): Unknown { return VALUE }
  ctz(): Unknown { return VALUE }
  popcnt(): Unknown { return VALUE }
  zx(): Unknown { return VALUE }
  sx(): Unknown { return VALUE }
  bitOf(): Unknown { return VALUE }
  isZero(): Unknown { return VALUE }
  equal(): Unknown { return VALUE }
  lessUnsigned(): Unknown { return VALUE }
  lessSigned(): Unknown { return VALUE }
  evenParity(): Unknown { return VALUE }
  select(): Unknown { return VALUE }

  flag(name: FlagName | 'df'): Unknown {
    this.flagsRead.add(letters[name])
    return VALUE
  }

  setFlags(flags: Flags<Unknown>): void {
    for (const name of Object.keys(flags) as FlagName[]) {
      this.flagsWritten.add(letters[name])
      if (this.#conditions === 0) this.flagsAlwaysWritten.add(letters[name])
    }
  }

  resultFlags(): Flags<Unknown> { return { zf: VALUE, sf: VALUE, pf: VALUE } }

  condition(code: number): Unknown {
    for (const letter of conditionFlags[code >> 1]!) this.flagsRead.add(letter)
    return VALUE
  }

  when(_: Unknown, then: () => void, otherwise?: () => void): void {
    this.#conditions += 1
    then()
    otherwise?.()
    this.#conditions -= 1
  }

  nextIp(): Unknown { return VALUE }
  branch(): void { this.branches = true }
  jump(): void { this.branches = true }
  faultIf(): void { this.faults = true }
  system(): Unknown { return VALUE }
  setSystem(): void {}
  fence(): void {}
  exchangePair(operand: Operand): readonly [Unknown, Unknown] {
    this.#load(operand)
    this.#store(operand)
    return [VALUE, VALUE]
  }

  tsc(): Unknown { return VALUE }
  deferIf(): void { this.faults = true }
  transferState(name: StateTransfer, area: Operand): void {
    if (name !== 'fxsave') this.#load(area)
    if (name.includes('save')) this.#store(area)
    if (name.startsWith('x')) this.gprRead |= 1 << RAX | 1 << RDX
  }

  forgetPage(place: Operand): void { this.address(place) }
  loadSpace(target: Operand): void { this.write(target) }

  readVector(operand: Operand): Unknown { return this.read(operand) }
  readVectorAligned(operand: Operand): Unknown { return this.read(operand) }
  writeVector(operand: Operand): void { this.write(operand) }
  writeVectorAligned(operand: Operand): void { this.write(operand) }
  xmm(): Unknown { return VALUE }
  readHalves(operand: Operand): readonly [Unknown, Unknown] {
    return [this.read(operand), VALUE]
  }

  writeHalves(operand: Operand): void { this.write(operand) }
  clearUpper(): void {}
  scaled(): Unknown { return VALUE }
  probeAt(operand: Operand): void { this.#store(operand) }
  vectorConst(): Unknown { return VALUE }
  vector(_: VectorOp): Unknown { return VALUE }
  shuffle(): Unknown { return VALUE }
  lane(): Unknown { return VALUE }
  withLane(): Unknown { return VALUE }
  vectorOf(): Unknown { return VALUE }
  bitselect(): Unknown { return VALUE }
  enterMmx(): void { this.faults = true }
  leaveMmx(): void { this.faults = true }
  x87Check(): void { this.faults = true }
  x87(): Unknown { return VALUE }
  x87High(): Unknown { return VALUE }
  x87Stores(): Unknown { return VALUE }
  x87Commit(): void {}
  x87Remember(): void {}
  x87Word(): Unknown { return VALUE }
  setX87Control(): void {}
  storeExtended(operand: Operand): void { this.#store(operand) }
  probeWrite(operand: Operand): void { this.#store(operand) }
  float(_: FloatOp): Unknown { return VALUE }
  fused(): Unknown { return VALUE }
  floatVector(): Unknown { return VALUE }
  floatCompare(): Unknown { return VALUE }
  mxcsr(): Unknown { return VALUE }
  setMxcsr(): void {}
  floatCheck(): void { this.faults = true }
  sseCheck(): void { this.faults = true }
  avxCheck(): void { this.faults = true }
  pure(): Unknown { return VALUE }
}
