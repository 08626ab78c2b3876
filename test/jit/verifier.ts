/**
 * Shows of a compiled region that its accesses to memory stay where they may.
 *
 * The function is carried out on symbols, along all its ways: a local holds an expression over
 * values that are not known, and a test that has succeeded is a fact about expressions. What is
 * demanded, of each load, store and atomic access:
 *
 * - of machine memory: the address was made (mmu/lookup.ts) of an entry of the TLB, for stores of
 *   that for stores, which hits() has accepted for the linear address, with all bytes in the page;
 *   or made with the addend of such an entry, and inPageFrom() has found all bytes in its page; or
 *   it is the engine's answer for an operand that is read and written (mmu/locked.ts), and not
 *   PIECES.
 *   The same may be shown by an entry of the micro-TLB (mmu/micro-tlb.ts): microHit() has found
 *   the access among its places, and nothing has happened since that may have changed it.
 * - of core memory: it ends below coreMap.end, by what constants, masks and shifts say of the
 *   address; the TLB's tables begin where the engine's globals say. Nothing is stored to TLBs.
 * - of calls of slow accesses: entries of the micro-TLB that they set are for loads or for stores
 *   as the access is.
 *
 * Taken on trust: that an entry once accepted holds as long as the region runs; that addresses off
 * one root differ by less than farFrom() makes them differ; and the engine's own functions.
 */
import { coreMap, TABLE_BYTES } from '../../src/cpu/core-memory.ts'
import { controlAt } from '../../src/cpu/interpreter/core-fields.ts'
import { CORE } from '../../src/cpu/interpreter/parts.ts'
import {
  ATOMIC, isMemoryAccess, operandsOf, SIMD, type WasmFunction, type WasmInstruction,
  type WasmModule,
} from './wasm-reader.ts'
import { isRightEntry, microPart } from './micro-symbols.ts'
import {
  addressProof, boundOf, type Facts, type Node, Nodes, op, TABLES,
} from './symbols.ts'

/** What is known at a place: the locals, and the facts; undefined where no way leads. */
interface State {
  readonly locals: Node[]
  readonly facts: Facts
}

interface Frame {
  readonly kind: 'block' | 'loop' | 'if' | 'else' | 'function'
  /** The state where it began, or for an `if` where its other arm begins. */
  readonly before: State
  /** States that come to its end. */
  readonly arriving: State[]
  /** What holds where the condition of an `if` does not. */
  readonly unless?: Node | undefined
}

/** Problems of a module's functions, none when all is well. */
export function verifyModule(module: WasmModule): string[] {
  return module.functions.flatMap((f) => new Verifier(module, f).run())
}

const FENCE = ATOMIC + 0x03

class Verifier {
  readonly #module: WasmModule
  readonly #function: WasmFunction
  readonly #nodes = new Nodes()
  readonly #problems: string[] = []
  readonly #stack: Node[] = []
  readonly #frames: Frame[] = []
  /** Counts what may change entries of the micro-TLB, and where ways meet. */
  #moment = 0
  #state: State | undefined

  constructor(module: WasmModule, f: WasmFunction) {
    this.#module = module
    this.#function = f
  }

  run(): string[] {
    const { type, locals, instructions } = this.#function
    const values = [...type.parameters, ...locals].map(() => this.#nodes.unknown())
    this.#state = { locals: values, facts: new Set() }
    this.#frames.push({ kind: 'function', before: this.#state, arriving: [] })
    instructions.forEach((instruction, index) => {
      if (instruction.opcode === 0x03) this.#enterLoop(index)
      else this.#carryOut(instruction)
    })
    return this.#problems
  }

  #problem(instruction: WasmInstruction, text: string): void {
    this.#problems.push(`at byte ${instruction.from}: ${text}`)
  }

  #pop(): Node {
    // Where no way leads, anything may be on the stack.
    return this.#stack.pop() ?? this.#nodes.unknown()
  }

  #carryOut(instruction: WasmInstruction): void {
    const { opcode, immediates } = instruction
    const [first] = immediates
    if (momentous.has(opcode)) this.#moment += 1
    if (isMemoryAccess(opcode)) {
      this.#access(instruction)
      return
    }
    const operands = operandsOf(opcode)
    if (operands !== undefined) {
      const args = this.#stack.splice(Math.max(this.#stack.length - operands, 0))
      while (args.length < operands) args.unshift(this.#nodes.unknown())
      this.#stack.push(this.#nodes.make(opcode, args, immediates))
      return
    }
    switch (opcode) {
      case FENCE: return
      case 0x00: case 0x0f: this.#endWay(); return
      case 0x01: return
      case 0x02: this.#frames.push(this.#frame('block')); return
      case 0x04: this.#enterIf(); return
      case 0x05: this.#enterElse(); return
      case 0x0b: this.#leaveFrame(); return
      case 0x0c: this.#arrive(Number(first)); this.#endWay(); return
      case 0x0d: this.#branchIf(Number(first)); return
      case 0x0e:
        this.#pop()
        for (const depth of new Set(immediates)) this.#arrive(Number(depth))
        this.#endWay()
        return
      case 0x10: this.#call(Number(first)); return
      case 0x12: this.#call(Number(first)); this.#endWay(); return
      case 0x1a: this.#pop(); return
      case 0x1b: {
        const [condition, b, a] = [this.#pop(), this.#pop(), this.#pop()]
        this.#stack.push(this.#nodes.make(opcode, [a, b, condition], []))
        return
      }
      case 0x20: this.#stack.push(this.#state?.locals[Number(first)] ?? this.#nodes.unknown())
        return
      case 0x21: this.#setLocal(Number(first), this.#pop()); return
      case 0x22: {
        const value = this.#pop()
        this.#setLocal(Number(first), value)
        this.#stack.push(value)
        return
      }
      case 0x23: this.#stack.push(this.#global(Number(first))); return
      default:
        this.#problem(instruction, `opcode ${opcode.toString(16)} has no place in a region`)
    }
  }

  // Ways.

  #frame(kind: Frame['kind']): Frame {
    return { kind, before: this.#state ?? { locals: [], facts: new Set() }, arriving: [] }
  }

  #copy(state: State): State {
    return { locals: [...state.locals], facts: new Set(state.facts) }
  }

  #endWay(): void {
    this.#state = undefined
    this.#stack.length = 0
  }

  #arrive(depth: number): void {
    const frame = this.#frames[this.#frames.length - 1 - depth]!
    if (this.#state && frame.kind !== 'loop') frame.arriving.push(this.#copy(this.#state))
  }

  #branchIf(depth: number): void {
    const condition = this.#pop()
    if (!this.#state) return
    const state = this.#copy(this.#state)
    this.#learn(condition)
    this.#arrive(depth)
    this.#state = state
    this.#learn(deniedBy(condition))
  }

  #enterIf(): void {
    const condition = this.#pop()
    const frame = { ...this.#frame('if'), unless: deniedBy(condition) }
    const reached = this.#state !== undefined
    this.#frames.push(frame)
    if (!reached) return
    this.#state = this.#copy(frame.before)
    this.#learn(condition)
  }

  #enterElse(): void {
    const frame = this.#frames.pop()!
    if (this.#state) frame.arriving.push(this.#state)
    this.#goAround(frame)
    this.#frames.push({ ...frame, kind: 'else' })
  }

  /** Takes the way on which the condition of an `if` does not hold. */
  #goAround({ before, unless }: Frame): void {
    this.#state = before.locals.length > 0 ? this.#copy(before) : undefined
    this.#learn(unless)
  }

  /** At a loop's head nothing is known of what it changes. */
  #enterLoop(index: number): void {
    this.#frames.push(this.#frame('loop'))
    if (!this.#state) return
    this.#state = this.#copy(this.#state)
    let depth = 1
    for (let at = index + 1; depth > 0; at++) {
      const { opcode, immediates } = this.#function.instructions[at]!
      if (opcode >= 0x02 && opcode <= 0x04) depth += 1
      if (opcode === 0x0b) depth -= 1
      if (opcode === 0x21 || opcode === 0x22) {
        this.#state.locals[Number(immediates[0])] = this.#nodes.unknown()
      }
    }
  }

  #leaveFrame(): void {
    const frame = this.#frames.pop()!
    const { before, arriving } = frame
    if (this.#state) arriving.push(this.#state)
    if (frame.kind === 'if') {
      this.#goAround(frame)
      if (this.#state) arriving.push(this.#state)
    }
    this.#state = arriving.length === 0 ? undefined : this.#merge(before.facts, arriving)
    this.#stack.length = 0
  }

  /** What holds wherever ways come together. */
  #merge(before: Facts, arriving: readonly State[]): State {
    const first = arriving[0]!
    if (arriving.length === 1) return first
    const place = this.#nodes.mergePlace()
    const locals = first.locals.map((value, index) => {
      const values = arriving.map((state) => state.locals[index]!)
      if (values.every((other) => other === value)) return value
      return this.#nodes.merged(place, values, arriving.map(({ facts }) => facts))
    })
    return { locals, facts: new Set(before) }
  }

  #learn(condition: Node | undefined): void {
    if (!this.#state || !condition) return
    const facts = this.#state.facts as Set<Node>
    const pending = [condition]
    for (;;) {
      const node = pending.pop()
      if (!node) return
      facts.add(node)
      if (node.opcode === op.and32) pending.push(...node.args)
    }
  }

  // Effects.

  #setLocal(index: number, value: Node): void {
    if (this.#state) this.#state.locals[index] = value
  }

  #global(index: number): Node {
    const name = this.#module.importedGlobals[index]!
    return this.#nodes.named(name)
  }

  #call(index: number): void {
    const { imports, functions } = this.#module
    const own = functions[index - imports.length]
    const { parameters, results } = own?.type ?? imports[index]!.type
    const args = parameters.map(() => this.#pop())
    if (!own) this.#checkFlags(imports[index]!.name, args[0])
    const answer = own && this.#answerOf(own)
    for (const _ of results) this.#stack.push(answer ?? this.#nodes.unknown())
  }

  /** Looks at the flags of a slow access: which entry of the micro-TLB it sets. */
  #checkFlags(name: string, flags: Node | undefined): void {
    const isLoad = /^part\.load\d/.test(name)
    if (!isLoad && !/^part\.(store\d|reachWhole)/.test(name)) return
    if (!isRightEntry(flags?.constant, isLoad)) this.#problems.push(`${name} sets a wrong entry`)
  }

  /** What a function of the module answers that does nothing but ask the engine for an operand that
   * is read and written. */
  #answerOf({ instructions }: WasmFunction): Node | undefined {
    const [linear, bytes, flags, asks] = instructions
    const isCall = asks?.opcode === 0x12 && linear?.opcode === 0x20
      && bytes?.opcode === op.i32 && flags?.opcode === op.i32
    if (!isCall) return undefined
    const size = Number(bytes.immediates[0])
    switch (this.#module.imports[Number(asks.immediates[0])]!.name) {
      case 'part.reachWhole': return this.#nodes.reached(size, 1)
      case 'part.reachWholeLocked': return this.#nodes.reached(size, size)
      default: return undefined
    }
  }

  #access(instruction: WasmInstruction): void {
    const { opcode, memory, offset } = instruction
    const { size, stores, loads, values } = accessOf(opcode)
    for (let i = 0; i < values; i++) this.#pop()
    const address = this.#pop()
    if (this.#state) {
      if (memory === CORE) this.#accessCore(instruction, address, offset + size, stores)
      else this.#accessMachine(instruction, address, size, stores)
    }
    if (!loads) return
    const isCore = memory === CORE && this.#state
    const isTables = opcode === op.load32 && address.constant === 0n
      && offset === controlAt('tables')
    const micro = isCore && address.name === TABLES && microPart(opcode, offset)
    this.#stack.push(micro ? this.#nodes.micro(micro, this.#moment)
      : isCore && isTables ? this.#nodes.named(TABLES)
      : isCore && opcode === op.load64 ? this.#nodes.loaded(address, offset)
      : this.#nodes.unknown())
  }

  #accessCore(
    instruction: WasmInstruction, address: Node, bytes: number, stores: boolean,
  ): void {
    const bound = boundOf(address, tableBound)
    if (stores && bound + bytes > coreMap.tlbSets) {
      this.#problem(instruction, `a store to core memory at ${address.text()}`)
    }
    if (bound + bytes > coreMap.end) {
      this.#problem(instruction, `core memory at ${address.text()}, which may be too high`)
    }
  }

  #accessMachine(
    instruction: WasmInstruction, address: Node, size: number, stores: boolean,
  ): void {
    const { offset } = instruction
    const proof = addressProof(address, this.#state!.facts)
    if (!proof) {
      this.#problem(instruction, `machine memory at ${address.text()}, not looked up`)
    } else if (stores && !proof.writable) {
      this.#problem(instruction, 'a store by an entry for loads')
    } else if (offset + size > proof.bytes) {
      this.#problem(instruction, 'the access may leave its page')
    } else if (instruction.opcode >= ATOMIC && (size > proof.alignment || offset % size !== 0)) {
      this.#problem(instruction, 'an atomic access that may not be aligned')
    }
  }
}

/** Starts of loops, other arms, ends, and calls. */
const momentous = new Set([0x03, 0x05, 0x0b, 0x10])

/** What holds where a condition does not. */
function deniedBy({ opcode, args }: Node): Node | undefined {
  return opcode === op.eqz32 ? args[0] : undefined
}

function tableBound(name: string): number {
  return name === TABLES ? coreMap.tlbLogs - 2 * TABLE_BYTES : Infinity
}

interface MemoryUse {
  readonly size: number
  readonly loads: boolean
  readonly stores: boolean
  /** Operands beside the address. */
  readonly values: number
}

/** Sizes from opcode 0x28 on: loads, then stores. */
const scalarSizes = [
  4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 4, 8, 4, 8, 1, 2, 1, 2, 4,
] as const
/** Of atomic accesses, by the low opcode: 32, 64 bits, then parts of them. */
const atomicSizes = [4, 8, 1, 2, 1, 2, 4] as const

function accessOf(opcode: number): MemoryUse {
  if (opcode >= ATOMIC) {
    const number = opcode - ATOMIC
    const kind = number < 0x17 ? 'load' : number < 0x1e ? 'store' : 'both'
    const first = kind === 'both' ? 0x1e : kind === 'load' ? 0x10 : 0x17
    return {
      size: atomicSizes[(number - first) % atomicSizes.length]!,
      loads: kind !== 'store', stores: kind !== 'load',
      values: kind === 'load' ? 0 : number >= 0x48 ? 2 : 1,
    }
  }
  if (opcode >= SIMD) {
    const number = opcode - SIMD
    const lane = [1, 2, 4, 8][number - 84 & 3]!
    if (number >= 84 && number < 92) {
      return { size: lane, loads: number < 88, stores: number >= 88, values: 1 }
    }
    const size = number === 92 ? 4 : number === 93 || number >= 1 && number <= 6 ? 8
      : number >= 7 && number <= 10 ? [1, 2, 4, 8][number - 7]! : 16
    return { size, loads: number !== 11, stores: number === 11, values: number === 11 ? 1 : 0 }
  }
  const stores = opcode >= 0x36
  return { size: scalarSizes[opcode - 0x28]!, loads: !stores, stores, values: stores ? 1 : 0 }
}
