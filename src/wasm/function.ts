/**
 * The body of one WebAssembly function: statements over expression trees, with structured control
 * flow. Branch targets are labels, not depths, so that code can be nested without counting.
 *
 * Branches that go one way nearly always say so (branch hinting proposal): compilers then keep what
 * is rare out of the way, above all out of the allocation of registers.
 */
import { assert } from '../base/assert.ts'
import { Bytes } from './bytes.ts'
import { i32, Local, memarg, typeCodes, type Expression, type ValueType } from './expression.ts'

/** A place that `br` can go to; made by block and loop. */
export class Label {
  readonly depth: number
  constructor(depth: number) {
    this.depth = depth
  }
}

const storeOpcodes = {
  i32: 0x36, i64: 0x37, f32: 0x38, f64: 0x39, i32As8: 0x3a, i32As16: 0x3b,
  i64As8: 0x3c, i64As16: 0x3d, i64As32: 0x3e,
} as const

export type StoreKind = keyof typeof storeOpcodes | 'v128'

const VOID = 0x40

/** A branch that goes one way nearly always; `at` is where its opcode stands in its buffer. */
interface Hint {
  readonly code: Bytes
  readonly at: number
  readonly likely: boolean
}

/** A place of which is known later what stands there. */
interface Postponed {
  readonly at: number
  readonly depth: number
  readonly body: () => void
}

export class FunctionBuilder {
  readonly #number: () => number
  readonly result?: ValueType
  readonly parameters: readonly Local[]
  code = new Bytes()
  readonly #locals: ValueType[] = []
  readonly #start = new Bytes()
  readonly #postponed: Postponed[] = []
  #hints: Hint[] = []
  /** Where the code begins in the finished body, behind the locals. */
  #codeOffset = 0
  #depth = 0

  /** `number` gives its index once that is wanted. */
  constructor(
    number: () => number, parameters: readonly ValueType[], result: ValueType | undefined,
  ) {
    this.#number = number
    if (result) this.result = result
    this.parameters = parameters.map((type, position) => new Local(position, type))
  }

  get index(): number {
    return this.#number()
  }

  local(type: ValueType): Local {
    const index = this.parameters.length + this.#locals.push(type) - 1
    return new Local(index, type)
  }

  set(local: Local, value: Expression): void {
    assert(local.type === value.type, `local of ${local.type} set to ${value.type}`)
    value.emit(this.code)
    this.code.byte(0x21)
    this.code.u32(local.index)
  }

  setGlobal(index: number, value: Expression): void {
    value.emit(this.code)
    this.code.byte(0x24)
    this.code.u32(index)
  }

  /** Stores `value` at `address + offset` of `memory`. */
  store(
    kind: StoreKind, memory: number, address: Expression, value: Expression, offset = 0,
  ): void {
    address.emit(this.code)
    value.emit(this.code)
    if (kind === 'v128') {
      this.code.byte(0xfd)
      this.code.u32(11)
    } else {
      this.code.byte(storeOpcodes[kind])
    }
    for (const immediate of memarg(memory, offset)) this.code.u32(immediate)
  }

  /** Fills or copies inside one or between two memories (bulk memory operations). */
  memoryCopy(
    toMemory: number, fromMemory: number, to: Expression, from: Expression, size: Expression,
  ): void {
    to.emit(this.code)
    from.emit(this.code)
    size.emit(this.code)
    this.code.byte(0xfc)
    this.code.u32(10)
    this.code.u32(toMemory)
    this.code.u32(fromMemory)
  }

  memoryFill(memory: number, at: Expression, value: Expression, size: Expression): void {
    at.emit(this.code)
    value.emit(this.code)
    size.emit(this.code)
    this.code.byte(0xfc)
    this.code.u32(11)
    this.code.u32(memory)
  }

  /** Orders all accesses before it before all after it, for other threads (threads proposal). */
  fence(): void {
    for (const byte of [0xfe, 0x03, 0x00]) this.code.byte(byte)
  }

  /** Evaluates an expression for its effect. */
  drop(value: Expression): void {
    value.emit(this.code)
    this.code.byte(0x1a)
  }

  /** Calls a function that returns nothing. */
  call(target: { readonly index: number }, ...operands: Expression[]): void {
    for (const operand of operands) operand.emit(this.code)
    this.code.byte(0x10)
    this.code.u32(target.index)
  }

  /** Sets two locals to what a function of two results returns. */
  setPair(
    first: Local, second: Local, target: { readonly index: number }, ...operands: Expression[]
  ): void {
    this.call(target, ...operands)
    for (const { index } of [second, first]) {
      this.code.byte(0x21)
      this.code.u32(index)
    }
  }

  /** Writes what stands before everything else: what it must do may be known only later. */
  atStart(body: () => void): void {
    const { code } = this
    this.code = this.#start
    body()
    this.code = code
  }

  /** Leaves a place for what `body` writes, which runs when the rest is written. */
  postpone(body: () => void): void {
    this.#postponed.push({ at: this.code.length, depth: this.#depth, body })
  }

  /** Runs what was postponed. */
  writePostponed(): void {
    const { code } = this
    const depth = this.#depth
    // In the order of the code, as what was postponed is.
    const hints = this.#hints.filter((hint) => hint.code === code)
    this.#hints = this.#hints.filter((hint) => hint.code !== code)
    const whole = new Bytes()
    let hinted = 0
    const copy = (from: number, to: number): void => {
      const shift = whole.length - from
      for (; hinted < hints.length && hints[hinted]!.at < to; hinted++) {
        const hint = hints[hinted]!
        this.#hints.push({ ...hint, code: whole, at: hint.at + shift })
      }
      whole.append(code.view().subarray(from, to))
    }
    this.code = whole
    let from = 0
    for (const { at, depth: inside, body } of this.#postponed.splice(0)) {
      copy(from, at)
      from = at
      this.#depth = inside
      body()
    }
    copy(from, code.length)
    this.#depth = depth
  }

  /** Runs `body`; a branch to its label goes to the end. */
  block(body: (label: Label) => void): void {
    this.#enter(0x02, body)
  }

  /** Runs `body`; a branch to its label goes to the start. */
  loop(body: (label: Label) => void): void {
    this.#enter(0x03, body)
  }

  /** Runs `body`, and adds `step` to `counter`, while that is below `limit` (both unsigned i32). */
  count(counter: Local, limit: Expression, body: () => void, step = 1): void {
    this.block((done) => this.loop((again) => {
      this.brIf(done, i32.geU(counter, limit))
      body()
      this.set(counter, i32.add(counter, i32.const(step)))
      this.br(again)
    }))
  }

  /** A branch to the label that the arms are given goes to the end of the whole statement. */
  if(
    condition: Expression, then: (label: Label) => void, otherwise?: (label: Label) => void,
  ): void {
    condition.emit(this.code)
    this.#if(then, otherwise)
  }

  /** The same where `condition` nearly always or hardly ever holds. */
  ifLikely(condition: Expression, then: () => void, otherwise?: () => void): void {
    this.#hint(condition, true)
    this.#if(then, otherwise)
  }

  ifUnlikely(condition: Expression, then: () => void, otherwise?: () => void): void {
    this.#hint(condition, false)
    this.#if(then, otherwise)
  }

  #if(then: (label: Label) => void, otherwise?: (label: Label) => void): void {
    this.code.byte(0x04)
    this.code.byte(VOID)
    const label = new Label(++this.#depth)
    then(label)
    if (otherwise) {
      this.code.byte(0x05)
      otherwise(label)
    }
    this.code.byte(0x0b)
    this.#depth -= 1
  }

  br(label: Label): void {
    this.code.byte(0x0c)
    this.code.u32(this.#depth - label.depth)
  }

  brIf(label: Label, condition: Expression): void {
    condition.emit(this.code)
    this.#brIf(label)
  }

  /** The same where `condition` hardly ever holds. */
  brUnlikely(label: Label, condition: Expression): void {
    this.#hint(condition, false)
    this.#brIf(label)
  }

  #hint(condition: Expression, likely: boolean): void {
    condition.emit(this.code)
    this.#hints.push({ code: this.code, at: this.code.length, likely })
  }

  #brIf(label: Label): void {
    this.code.byte(0x0d)
    this.code.u32(this.#depth - label.depth)
  }

  brTable(labels: readonly Label[], otherwise: Label, index: Expression): void {
    index.emit(this.code)
    this.code.byte(0x0e)
    this.code.u32(labels.length)
    for (const label of labels) this.code.u32(this.#depth - label.depth)
    this.code.u32(this.#depth - otherwise.depth)
  }

  return(value?: Expression): void {
    value?.emit(this.code)
    this.code.byte(0x0f)
  }

  returnPair(first: Expression, second: Expression): void {
    first.emit(this.code)
    this.return(second)
  }

  /** Returns what `target` returns, which is called in place of this function. */
  returnCall(target: { readonly index: number }, ...operands: Expression[]): void {
    for (const operand of operands) operand.emit(this.code)
    this.code.byte(0x12)
    this.code.u32(target.index)
  }

  /** The same for element `index` of table 0, a function of type number `type`. */
  returnCallIndirect(type: number, index: Expression, ...operands: Expression[]): void {
    for (const operand of [...operands, index]) operand.emit(this.code)
    this.code.byte(0x13)
    this.code.u32(type)
    this.code.u32(0)
  }

  unreachable(): void {
    this.code.byte(0x00)
  }

  /**
   * A switch: `cases[i]` runs when `index` is i, `otherwise` when it is beyond the last. Control
   * leaves a case by a branch, which may go to the label of a later one; falling off its end goes
   * on with the next case. With `slots`, `cases[slots[i]]` runs instead, and `otherwise` also
   * where there is no such case.
   */
  switch(
    index: Expression, cases: readonly ((labels: readonly Label[]) => void)[],
    otherwise: () => void,
    slots: readonly number[] = cases.map((_, number) => number),
  ): void {
    const labels: Label[] = []
    for (let opened = 0; opened <= cases.length; opened++) {
      this.code.byte(0x02)
      this.code.byte(VOID)
      labels.unshift(new Label(++this.#depth))
    }
    const last = labels[cases.length]!
    this.brTable(slots.map((number) => labels[number] ?? last), last, index)
    for (const body of [...cases, otherwise]) {
      this.code.byte(0x0b)
      this.#depth -= 1
      body(labels)
    }
  }

  finish(): Bytes {
    assert(this.#depth === 0, 'control structures are closed')
    const body = new Bytes()
    const runs: { count: number, readonly type: ValueType }[] = []
    for (const type of this.#locals) {
      const last = runs.at(-1)
      if (last?.type === type) last.count += 1
      else runs.push({ count: 1, type })
    }
    body.u32(runs.length)
    for (const run of runs) {
      body.u32(run.count)
      body.byte(typeCodes[run.type])
    }
    this.#codeOffset = body.length
    body.append(this.#start.view())
    body.append(this.code.view())
    // A function whose last statement leaves by a branch still needs a typed end.
    if (this.result) body.byte(0x00)
    body.byte(0x0b)
    return body
  }

  /** The function's entry in the section of branch hints, once it is finished; undefined when it
   * has none. */
  hints(): Bytes | undefined {
    if (this.#hints.length === 0) return undefined
    const offsetOf = ({ code, at }: Hint): number =>
      this.#codeOffset + at + (code === this.#start ? 0 : this.#start.length)
    const entry = new Bytes()
    entry.u32(this.index)
    entry.u32(this.#hints.length)
    for (const hint of [...this.#hints].sort((a, b) => offsetOf(a) - offsetOf(b))) {
      entry.u32(offsetOf(hint))
      entry.u32(1)
      entry.byte(hint.likely ? 1 : 0)
    }
    return entry
  }

  #enter(opcode: number, body: (label: Label) => void): void {
    this.code.byte(opcode)
    this.code.byte(VOID)
    const label = new Label(++this.#depth)
    body(label)
    this.code.byte(0x0b)
    this.#depth -= 1
  }
}
