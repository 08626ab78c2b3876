/**
 * Structured control flow out of a graph: what each block is nested in, and how its edges are
 * written, by dominators (N. Ramsey, "Beyond Relooper", ICFP 2022).
 *
 * Node 0 is the root, which enters the others by number. An edge that goes back to a block which
 * does not dominate its source goes through the root: the root becomes the head of a loop, and the
 * target one of its entries.
 */

export type EdgeKind =
  /** The only way into its target, which is written in its place. */
  | 'inline'
  /** Out of the nest, to where the target follows. */
  | 'forward'
  /** To the head of a loop that it is in. */
  | 'back'
  /** To the root, with the target's number. */
  | 'dispatch'

export interface Structure {
  /** Nodes that the root enters by number. */
  readonly entries: readonly number[]
  /** Whether some edge goes through the root. */
  readonly dispatches: boolean
  /** Position in reverse postorder; -1 where the root does not reach. */
  readonly order: readonly number[]
  readonly isLoop: readonly boolean[]
  /** For each node, those that follow it in the nest: the last in order first. */
  readonly follows: readonly (readonly number[])[]
  edge(from: number, to: number): EdgeKind
}

/** `successors[0]` are the entries; the others lead to nodes from 1 on. What the root does not
 * reach has no part in the structure. */
export function structureOf(successors: readonly (readonly number[])[]): Structure {
  const reached = reversePostorder(successors)
  const edges = successors.map((list, node) => reached[node]! < 0 ? [] : [...list])
  let dispatches = false
  for (;;) {
    const order = reversePostorder(edges)
    const dominators = dominatorsOf(edges, order)
    const wild = wildTargets(edges, order, dominators)
    if (wild.length === 0) return finish(edges, order, dominators, dispatches)
    dispatches = true
    for (const target of wild) edges[0]!.push(target)
  }
}

function reversePostorder(edges: readonly (readonly number[])[]): number[] {
  const order: number[] = new Array<number>(edges.length).fill(-1)
  const next: number[] = new Array<number>(edges.length).fill(0)
  let left = edges.length
  const stack = [0]
  order[0] = 0
  while (stack.length > 0) {
    const node = stack.at(-1)!
    const to = edges[node]![next[node]!++]
    if (to === undefined) {
      order[node] = --left
      stack.pop()
    } else if (order[to] === -1) {
      order[to] = 0
      stack.push(to)
    }
  }
  return order
}

/** Immediate dominators (Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm"). */
function dominatorsOf(
  edges: readonly (readonly number[])[], order: readonly number[],
): number[] {
  const sorted = edges.map((_, node) => node).filter((node) => order[node]! >= 0)
    .sort((a, b) => order[a]! - order[b]!)
  const predecessors: number[][] = edges.map(() => [])
  edges.forEach((list, from) => { for (const to of list) predecessors[to]!.push(from) })
  const dominators: number[] = new Array<number>(edges.length).fill(-1)
  dominators[0] = 0
  for (let changed = true; changed;) {
    changed = false
    for (const node of sorted) {
      if (node === 0) continue
      let found = -1
      for (const from of predecessors[node]!) {
        if (dominators[from] === -1) continue
        found = found === -1 ? from : intersect(dominators, order, found, from)
      }
      if (dominators[node] !== found) {
        dominators[node] = found
        changed = true
      }
    }
  }
  return dominators
}

function intersect(
  dominators: readonly number[], order: readonly number[], a: number, b: number,
): number {
  while (a !== b) {
    while (order[a]! > order[b]!) a = dominators[a]!
    while (order[b]! > order[a]!) b = dominators[b]!
  }
  return a
}

function dominates(dominators: readonly number[], above: number, node: number): boolean {
  for (let at = node; ; at = dominators[at]!) {
    if (at === above) return true
    if (at === 0) return false
  }
}

/** Targets of edges that go back to where their source is not dominated from, and that the root
 * does not enter yet. */
function wildTargets(
  edges: readonly (readonly number[])[], order: readonly number[], dominators: readonly number[],
): number[] {
  const found = new Set<number>()
  edges.forEach((list, from) => {
    for (const to of list) {
      const goesBack = order[to]! <= order[from]!
      if (goesBack && !dominates(dominators, to, from) && !edges[0]!.includes(to)) found.add(to)
    }
  })
  return [...found]
}

function finish(
  edges: readonly (readonly number[])[], order: readonly number[], dominators: readonly number[],
  mayDispatch: boolean,
): Structure {
  const incoming: number[] = edges.map(() => 0)
  const isLoop: boolean[] = edges.map(() => false)
  let dispatches = mayDispatch
  edges.forEach((list, from) => {
    for (const to of list) {
      if (order[to]! > order[from]!) incoming[to]! += 1
      else if (dominates(dominators, to, from)) isLoop[to] = true
      else dispatches = true
    }
  })
  const follows: number[][] = edges.map(() => [])
  for (let node = 1; node < edges.length; node++) {
    if (incoming[node]! > 1) follows[dominators[node]!]!.push(node)
  }
  for (const list of follows) list.sort((a, b) => order[b]! - order[a]!)
  return {
    entries: [...new Set(edges[0])],
    dispatches,
    order,
    isLoop,
    follows,
    edge(from, to) {
      if (order[to]! <= order[from]!) {
        return dominates(dominators, to, from) ? 'back' : 'dispatch'
      }
      return incoming[to]! > 1 ? 'forward' : 'inline'
    },
  }
}
