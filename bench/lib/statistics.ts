/**
 * Medians and spreads.
 */
export interface Summary {
  readonly median: number
  readonly least: number
  readonly most: number
}

export function summaryOf(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, least: sorted[0]!, most: sorted.at(-1)! }
}

/** The ratios of what was measured in the same rounds. */
export function ratiosOf(above: readonly number[], below: readonly number[]): Summary {
  return summaryOf(above.map((value, round) => value / below[round]!))
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

/** Half of what lies between the least and the most, in percent of the median. */
export function spreadOf({ median, least, most }: Summary): number {
  return median > 0 ? (most - least) / 2 / median * 100 : 0
}
