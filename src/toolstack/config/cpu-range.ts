/**
 * Ranges of CPUs as xl writes them: "0-3,^2", "node:1", "all". Numbers may have blanks in front,
 * and parts may be empty.
 */

const PART = /^(\^?)(?:all|(nodes?:)?\s*(\d{1,4})(?:-\s*(\d{1,4}))?)$/

interface Part {
  readonly isLeftOut: boolean
  readonly byNode: boolean
  readonly first: number
  readonly last: number
}

/** Undefined when one of them is none. */
function partsOf(text: string): Part[] | undefined {
  const parts: Part[] = []
  for (const one of text.split(',').filter((word) => word !== '')) {
    const match = PART.exec(one)
    if (!match) return undefined
    const [, not, byNode, low, high = low] = match
    const [first, last] = low === undefined ? [0, Infinity] : [Number(low), Number(high)]
    if (last < first) return undefined
    parts.push({ isLeftOut: not !== '', byNode: byNode !== undefined, first, last })
  }
  return parts
}

export function isCpuRange(text: string): boolean {
  return partsOf(text) !== undefined
}

/**
 * The CPUs that a range means, in order; those that there are not are left out. `nodes` has the
 * node of each CPU. Undefined when it is no range.
 */
export function cpusIn(text: string, nodes: readonly number[]): number[] | undefined {
  const parts = partsOf(text)
  if (!parts) return undefined
  const chosen = new Set<number>()
  for (const { isLeftOut, byNode, first, last } of parts) {
    nodes.forEach((node, cpu) => {
      const place = byNode ? node : cpu
      if (place < first || place > last) return
      if (isLeftOut) chosen.delete(cpu)
      else chosen.add(cpu)
    })
  }
  return [...chosen].sort((a, b) => a - b)
}
