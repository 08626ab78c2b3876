/**
 * Random programs: functions of units that jump among one another, by a seed. A program can be made
 * again without some of its units, to find those that matter.
 */
import { type CodeMode, makeDecoder, MAX_LENGTH } from '../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { printInstruction } from '../../src/isa/print/print.ts'
import { Random } from '../isa/decoder/byte-strings.ts'
import { LEGACY_MODE, LONG_MODE } from '../isa/host/layout.ts'
import type { Patch } from './choices.ts'
import { Code, R14, R15, RSP } from './encoder.ts'
import { CODE_AT, CODE_PAGES, DATA_AT, DATA_PAGES, type Start, STACK_TOP } from './machine.ts'
import { Units } from './units.ts'

const PAGE = 4096
/** How many units a jump goes at most. */
const NEAR = 5
const decode = makeDecoder(allInstructions)

export interface Program extends Start {
  readonly seed: number
  readonly units: number
  /** The instructions as text. */
  text(): string
}

interface Unit {
  readonly seed: number
  readonly last: boolean
  readonly function: number
}

interface PlacedPatch extends Patch {
  readonly at: number
}

class Writer {
  readonly #code: Code
  readonly #units: Unit[] = []
  readonly #without: ReadonlySet<number>
  readonly #patches: PlacedPatch[] = []
  readonly #functions: number
  readonly #theme: number
  readonly #isNative: boolean

  constructor(
    random: Random, without: ReadonlySet<number>, isLong: boolean, isNative: boolean,
  ) {
    this.#without = without
    this.#isNative = isNative
    this.#theme = random.next()
    this.#functions = 1 + random.below(4)
    for (let f = 0; f < this.#functions; f++) {
      const count = 3 + random.below(f === 0 ? 24 : 9)
      for (let i = 0; i <= count; i++) {
        this.#units.push({ seed: random.next(), last: i === count, function: f })
      }
    }
    // The border of pages 0 and 1 lies somewhere in the code.
    this.#code = new Code(CODE_AT + PAGE - random.below(500), isLong)
  }

  get units(): number {
    return this.#units.length
  }

  write(): { readonly code: Code, readonly patches: readonly PlacedPatch[] } {
    const code = this.#code
    this.#units.forEach((unit, number) => this.#unit(unit, number))
    code.label('out of fuel')
    code.raw(0xcc)
    return { code, patches: this.#patches }
  }

  #unit(unit: Unit, number: number): void {
    const code = this.#code
    const isFirst = this.#units[number - 1]?.function !== unit.function
    if (isFirst) code.label(`f${unit.function}`)
    code.label(`u${number}`)
    if (this.#without.has(number) && !unit.last) return
    const random = new Random(unit.seed)
    const own = this.#units.flatMap((other, i) => other.function === unit.function ? [i] : [])
    const pick = (list: readonly number[]): string => `u${list[random.below(list.length)]!}`
    const units = new Units({
      code, random, name: `u${number}`, theme: this.#theme,
      isNative: this.#isNative,
      ahead: () => pick(unit.last ? [own.at(-1)!] : own.filter((i) => i > number).slice(0, NEAR)),
      behind: () => pick(own.filter((i) => i <= number).slice(-NEAR)),
      callee: () => unit.function + 1 === this.#functions ? undefined
        : `f${unit.function + 1 + random.below(this.#functions - unit.function - 1)}`,
      patchable: (size, values) => {
        const label = `p${this.#patches.length}`
        code.label(label)
        this.#patches.push({ label, size, values, at: code.here })
      },
      patch: () => this.#patches[random.below(this.#patches.length || 1)],
    })
    if (!unit.last) {
      units.run()
      units.leave()
    } else if (unit.function === 0) {
      code.raw(0xcc)
    } else {
      units.return()
    }
  }
}

/** The program of a seed, without the units numbered in `without`. One in four is 32-bit code. The
 * host CPU can run it if `isNative`. */
export function makeProgram(
  seed: number, without: ReadonlySet<number> = new Set(), isNative = false,
): Program {
  const random = new Random(seed * 0x9e37_79b1)
  for (let i = 0; i < 4; i++) random.next()
  const isLong = seed % 4 !== 3
  const writer = new Writer(random, without, isLong, isNative)
  const { code, patches } = writer.write()
  const pages = new Uint8Array(CODE_PAGES * PAGE).fill(0xcc)
  const bytes = code.finish()
  pages.set(bytes, code.origin - CODE_AT)
  const data = new Uint8Array(DATA_PAGES * PAGE)
  for (let i = 0; i < data.length; i += 4) {
    new DataView(data.buffer).setUint32(i, random.below(3) ? random.next() : 0, true)
  }
  const registers = Array.from({ length: 16 }, () => random.below(3) === 0
    ? BigInt(random.below(100)) : BigInt(random.next()) << 32n | BigInt(random.next()))
  if (isNative && !isLong) {
    registers.forEach((value, i) => { registers[i] = i < 8 ? value & 0xffff_ffffn : 0n })
  }
  registers[RSP] = BigInt(STACK_TOP)
  registers[code.register(R14)] = BigInt(DATA_AT)
  registers[code.register(R15)] = BigInt(10 + random.below(150))
  return {
    seed, isLong, units: writer.units, code: pages, spare: sparePage(pages, patches, random),
    entry: code.origin, data, registers,
    vectors: Array.from({ length: 32 }, () =>
      BigInt(random.next()) << 32n | BigInt(random.next())),
    flags: random.next() & 0x8d5, cpl: isNative || random.below(2) !== 0 ? 3 : 0,
    text: () => textOf(bytes, code.origin, isLong ? LONG_MODE : LEGACY_MODE),
  }
}

/** Page 1 with other values where values may be written. */
function sparePage(
  pages: Uint8Array, patches: readonly PlacedPatch[], random: Random,
): Uint8Array {
  const spare = pages.slice(PAGE, 2 * PAGE)
  for (const { at, values } of patches) {
    const place = at - CODE_AT - PAGE
    if (place < 0 || place >= PAGE) continue
    spare[place] = values ? values[random.below(values.length)]! : random.below(256)
  }
  return spare
}

function textOf(bytes: Uint8Array, origin: number, mode: CodeMode): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length;) {
    const found = decode(bytes.subarray(at, at + MAX_LENGTH), mode)
    const [length, text] = typeof found === 'string' ? [1, 'not an instruction']
      : [found.length, printInstruction(found, BigInt(origin + at))]
    lines.push(`${(origin + at).toString(16)}: ${text}`)
    at += length
  }
  return lines.join('\n')
}
