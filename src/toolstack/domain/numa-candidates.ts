/**
 * Which NUMA nodes a new domain should be on: as few as hold its memory and have as many CPUs as it
 * has VCPUs; among as many, those with most free memory and fewest VCPUs, which count three times.
 *
 * Does as libxl's automatic placement (libxl_numa.c, and xen's docs/misc/xl-numa-placement).
 */
export interface CandidateNode {
  readonly freeBytes: number
  /** CPUs that the domain could use there. */
  readonly cpus: number
  /** VCPUs of all domains that should run there. */
  readonly vcpus: number
}

export interface Need {
  readonly bytes: number
  readonly vcpus: number
}

interface Candidate {
  readonly nodes: readonly number[]
  readonly freeBytes: number
  readonly vcpus: number
}

const VCPUS_WEIGHT = 3

/** The numbers of the best nodes; undefined if no set of them is enough. */
export function bestNodes(
  nodes: readonly CandidateNode[], need: Need,
): readonly number[] | undefined {
  const suitable = [...nodes.keys()].filter((node) => nodes[node]!.cpus > 0)
  for (let count = fewestNodes(nodes, need.vcpus); count <= suitable.length; count++) {
    const best = setsOf(suitable, count)
      .map((set) => candidateOf(nodes, set, need))
      .filter((candidate) => candidate !== undefined)
      .reduce<Candidate | undefined>((chosen, candidate) =>
        chosen && penalty(candidate, chosen) >= 0 ? chosen : candidate, undefined)
    if (best) return best.nodes
  }
  return undefined
}

/** Where all nodes have as many CPUs, it is known how many it takes. */
function fewestNodes(nodes: readonly CandidateNode[], vcpus: number): number {
  const each = nodes[0]?.cpus ?? 0
  const equal = each > 0 && nodes.every(({ cpus }) => cpus === each)
  return equal ? Math.min(Math.ceil(vcpus / each), nodes.length) : 1
}

function candidateOf(
  nodes: readonly CandidateNode[], set: readonly number[], need: Need,
): Candidate | undefined {
  const sum = (of: (node: CandidateNode) => number): number =>
    set.reduce((total, node) => total + of(nodes[node]!), 0)
  const freeBytes = sum((node) => node.freeBytes)
  if (freeBytes < need.bytes || sum((node) => node.cpus) < need.vcpus) return undefined
  return { nodes: set, freeBytes, vcpus: sum((node) => node.vcpus) }
}

/** Below zero if `one` is better than `other`. */
function penalty(one: Candidate, other: Candidate): number {
  return relative(other.freeBytes, one.freeBytes)
    + VCPUS_WEIGHT * relative(one.vcpus, other.vcpus)
}

function relative(a: number, b: number): number {
  const most = Math.max(a, b)
  return most === 0 ? 0 : (a - b) / most
}

/** All sets of `count` of the items. */
function setsOf(items: readonly number[], count: number): number[][] {
  if (count === 0) return [[]]
  return items.flatMap((item, i) =>
    setsOf(items.slice(i + 1), count - 1).map((rest) => [item, ...rest]))
}
