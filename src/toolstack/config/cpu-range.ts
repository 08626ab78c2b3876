/**
 * Ranges of CPUs as xl writes them: "0-3,^2", "node:1", "all".
 */

const PART = /^(\^?)(?:all|(nodes?:)?(\d{1,4})(?:-(\d{1,4}))?)$/

export function isCpuRange(text: string): boolean {
  return text.split(',').every((part) => PART.test(part))
}

/**
 * The CPUs that a range means, in order; those that there are not are left out. `nodes` has the
 * node of each CPU. Undefined when it is no range.
 */
export function cpusIn(text: string, nodes: readonly number[]): number[] | undefined {
  if (!isCpuRange(text)) return undefined
  const chosen = new Set<number>()
  for (const part of text.split(',')) {
    const [, not = '', byNode, low, high = low] = PART.exec(part) ?? []
    const [first, last] = low === undefined ? [0, Infinity] : [Number(low), Number(high)]
    nodes.forEach((node, cpu) => {
      const place = byNode === undefined ? cpu : node
      if (place < first || place > last) return
      if (not !== '') chosen.delete(cpu)
      else chosen.add(cpu)
    })
  }
  return [...chosen].sort((a, b) => a - b)
}
