/**
 * What the lists of experiments are made of.
 *
 * An experiment is a piece of assembler text (GNU, Intel syntax) that the runtime of its mode runs
 * from a fixed state. It ends with the first exception or interrupt that is not traced; FINISH
 * raises one.
 */

export interface Experiment {
  readonly name: string
  readonly code: string
  /**
   * Why ours may differ from QEMU, which lacks the feature or is known to be wrong. What ours must
   * say then is in `expected`.
   */
  readonly differs?: string
  /** What describeRecord says of ours, shortened to the parts that matter: all must occur. */
  readonly expected?: readonly string[]
  /** QEMU never comes back from it. */
  readonly alone?: boolean
}

export function experiment(name: string, code: string): Experiment {
  return { name, code }
}

/** One where our processor rightly does not do what QEMU does. */
export function apart(
  name: string, code: string, differs: string, ...expected: string[]
): Experiment {
  return { name, code, differs, expected }
}

/** One that QEMU never comes back from. */
export function alone(
  name: string, code: string, differs: string, ...expected: string[]
): Experiment {
  return { name, code, differs, expected, alone: true }
}

/** Experiments by name, why QEMU does otherwise with them, and what ours says. */
export type Difference = readonly [names: RegExp, differs: string, ...expected: string[]]

/** The experiments, with what is known of them. */
export function withKnown(
  experiments: readonly Experiment[], known: readonly Difference[],
): Experiment[] {
  return experiments.map((each) => {
    const found = known.find(([names]) => names.test(each.name))
    if (!found || each.differs) return each
    const [, differs, ...expected] = found
    return { ...each, differs, expected }
  })
}

/** A number for the assembler. */
export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`
}

/** Puts a descriptor: its access byte (P, DPL, S, type), the flags G D L AVL, base and limit. */
export function describe(
  selector: number | string, access: number, flags = 0xc, base = 0, limit = 0xfffff,
): string {
  const low = (limit & 0xffff | (base & 0xffff) << 16) >>> 0
  const high = (base >>> 16 & 0xff | access << 8 | limit & 0xf0000 | flags << 20
    | base & 0xff000000) >>> 0
  return `DESCRIBE ${selector}, ${hex(low)}, ${hex(high)}\n`
}

export function lines(...parts: string[]): string {
  return parts.join('\n')
}
