/**
 * What an instruction definition is: its encodings, the flags it writes, and what it does.
 *
 * A definition is data. Its encodings are rows in the notation of the Intel SDM (volume 2, chapter
 * 3 and appendix A), its meaning is written in one of two forms:
 *
 * - `execute`, over the algebra `Backend<V>` of backend.ts: read by the reference evaluator, the
 *   interpreter generator, the JIT and the printer;
 * - `service`, the name of a routine over the interface `Machine` of machine.ts, for what is long
 *   and rare (x87 transcendental functions, task switches, descriptor loads).
 *
 * System instructions that are short and frequent in one case and long in all others have both: the
 * service is their whole meaning, and `execute` their common case, which leaves the rest to it.
 */
import { assert } from '../base/assert.ts'
import type { Backend } from './backend.ts'
import type { Operand } from './operand.ts'

/** Which instructions of a row exist in which mode. */
export type ModeRule = 'any' | 'only64' | 'not64'

/** A mandatory prefix: part of the opcode, not a modifier. `none` means that none may stand. */
export type MandatoryPrefix = 'any' | 'none' | '66' | 'f3' | 'f2'

/** One encoding, immutable once its definition is made. The methods return a changed copy. */
export class Row {
  static #count = 0
  /** As written, for printing: `66 0f 3a 0f /r`. */
  readonly pattern: string
  readonly operands: readonly string[]
  readonly properties: RowProperties
  /** No other row has it; they are small. */
  readonly number = Row.#count++
  /** The x87 unit has an opcode to remember of its instructions. */
  readonly isX87: boolean

  constructor(pattern: string, operands: readonly string[], properties: RowProperties) {
    this.pattern = pattern
    this.operands = operands
    this.properties = properties
    this.isX87 = /^d[89a-f] /.test(pattern)
  }

  /** LOCK may stand before it when its destination is memory. */
  lock(): Row { return this.#with({ lock: true }) }
  /** Does not exist outside 64-bit code. */
  only64(): Row { return this.#with({ mode: 'only64' }) }
  /** Raises #UD in 64-bit code. */
  not64(): Row { return this.#with({ mode: 'not64' }) }
  /** In 64-bit code the operand size is 64 without REX.W (66 still makes it 16): PUSH, POP. */
  default64(): Row { return this.#with({ default64: true }) }
  /** In 64-bit code the operand size is always 64. Not for near branches: 66 shrinks them (AMD). */
  force64(): Row { return this.#with({ force64: true }) }
  /** Raises #GP(0) unless CPL is 0. */
  cpl0(): Row { return this.#with({ cpl0: true }) }
  /** POP to memory: an address based on rSP means rSP after the pop; the decoder adds the step to
   * the displacement, so that the store can come before the pointer moves. */
  pops(): Row { return this.#with({ pops: true }) }
  /** A string instruction: REP, REPE and REPNE repeat it. */
  string(repeat: 'rep' | 'repe'): Row { return this.#with({ string: repeat }) }
  /** Raises #UD in real and virtual-8086 mode. */
  protectedOnly(): Row { return this.#with({ protectedOnly: true }) }
  /** The CPUID feature that it belongs to, by its name in /proc/cpuinfo. */
  cpuid(feature: string): Row { return this.#with({ cpuid: feature }) }

  #with(more: Partial<RowProperties>): Row {
    return new Row(this.pattern, this.operands, { ...this.properties, ...more })
  }
}

export interface RowProperties {
  readonly lock?: boolean
  readonly mode?: ModeRule
  readonly default64?: boolean
  readonly force64?: boolean
  readonly cpl0?: boolean
  readonly pops?: boolean
  readonly string?: 'rep' | 'repe'
  readonly protectedOnly?: boolean
  readonly cpuid?: string
}

/**
 * One encoding. `pattern` is hexadecimal opcode bytes in order with these additions:
 *
 * - first, optionally, a mandatory prefix: `np` (none may stand), `66`, `f3`, `f2`, or `nfx`
 *   (neither f3 nor f2); f2 and f3 beat 66, which is then an operand size;
 * - or a VEX prefix, as in `vex.l0.np.0f38.w0 f2 /r`: l0 l1 lig, np 66 f3 f2, map, w0 w1 wig;
 * - `w0` or `w1` before the opcode: only without, or only with REX.W;
 * - `+r` glued to the last byte: its low three bits are a register (operand code Z, or STi);
 * - `/r`: a ModRM byte follows; `/0` to `/7`: and its reg field must be this;
 * - `m` or `r` after `/r` or `/digit`: ModRM must name memory, or a register;
 * - a byte in place of `/r`, as in `0f 01 d9`: ModRM must be exactly this.
 *
 * `operands` are codes of operand.ts (`Eb`, `Gv`, `Ibs`, `Wx`, `AL`, ...), destination first.
 */
export function row(pattern: string, ...operands: string[]): Row {
  return new Row(pattern, operands, {})
}

/** The six arithmetic flags that `flags` strings name: o s z a p c. */
export type FlagName = 'of' | 'sf' | 'zf' | 'af' | 'pf' | 'cf'

export interface DefinitionFields {
  readonly encodings: readonly Row[]
  /** Arithmetic flags that it may write, as letters of `oszapc`; none when left out. */
  readonly flags?: string
  /** Arithmetic flags whose value afterwards the manuals leave undefined, as letters. */
  readonly undefinedFlags?: string
  /** What it does, over the algebra. Operands come as the row lists them. */
  execute?<V>(m: Backend<V>, ...operands: Operand[]): void
  /** Or the name of the routine that does it; defaults to the definition's name. */
  readonly service?: string | true
  /** Control never continues with the next instruction, or what was decoded behind it may be wrong
   * afterwards: a block ends after it. Conditional branches do not end one. */
  readonly endsBlock?: boolean
  /** Compiled regions leave it to the interpreter: it works on registers that they hold. */
  readonly interpreted?: boolean
}

export interface Definition {
  readonly name: string
  readonly fields: DefinitionFields
  /** The service that carries it out: always, or when `execute` leaves it to it. */
  readonly service: string | undefined
}

const known = new Set<string>()

/** Makes a definition. `name` is the mnemonic in lower case, unique among definitions. */
export function define(name: string, fields: DefinitionFields): Definition {
  assert(!known.has(name), `instruction ${name} is defined twice`)
  assert(fields.execute || fields.service, `${name} has a meaning`)
  known.add(name)
  const service = fields.service === true ? name : fields.service
  return { name, fields, service }
}
