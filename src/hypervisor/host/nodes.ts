/**
 * NUMA nodes: which cores and which memory are near each other, and how far the rest is.
 *
 * A node has a window of machine frames with memory in its first part; the rest is room for memory
 * that is added later (XENPF_mem_hotadd). Unless a topology is given there is one node, or as many
 * equal ones as `numa=fake=N` on Xen's command line asks for, at the distances that ACPI gives to
 * what is here and what is elsewhere. Nodes are a preference: a domain gets frames of the nodes
 * that it has affinity to while there are any.
 */
import { atomic, u32 } from '../../base/layout/scalar.ts'
import { array, struct, type ViewOf } from '../../base/layout/struct.ts'

export const MAX_NODES = 8
export const ALL_NODES = 0xff
const LOCAL_DISTANCE = 10
const REMOTE_DISTANCE = 20
/** Frames of a word of the bitmap that says which are used: it has one node. */
const WORD_FRAMES = 32
/** Memory is added in whole superpages. */
export const ADDED_FRAMES = 512

export const NodeState = struct('node', {
  /** Its window of frames, and in how many of them from the first on there is memory. */
  firstFrame: u32,
  room: u32,
  frames: atomic(u32),
  /** The word of the bitmap where it pays to look first. */
  allocHint: u32,
  distances: array(u32, MAX_NODES),
})
export type NodeView = ViewOf<typeof NodeState>

/** A node as it is wanted. */
export interface NodeWish {
  readonly frames: number
  readonly cores: readonly number[]
  /** To each node, itself included. */
  readonly distances: readonly number[]
}

/** The nodes that the command line asks for, of equal parts; no more than there are cores. */
export function equalNodes(commandLine: string, cores: number, frames: number): NodeWish[] {
  const wish = Number(/(?:^|\s)numa=fake=(\d+)(?:\s|$)/.exec(commandLine)?.[1] ?? 1)
  const count = Math.max(1, Math.min(wish, cores, MAX_NODES))
  const part = Math.ceil(frames / count / WORD_FRAMES) * WORD_FRAMES
  return Array.from({ length: count }, (_, node) => ({
    frames: Math.max(0, Math.min(part, frames - node * part)),
    cores: [...new Array(cores).keys()].filter((core) =>
      Math.floor(core * count / cores) === node),
    distances: Array.from({ length: count }, (__, to) =>
      to === node ? LOCAL_DISTANCE : REMOTE_DISTANCE),
  }))
}

/** Gives each node its window, with an equal share of the frames that have no memory yet. */
export function layNodes(
  nodes: readonly NodeView[], wishes: readonly NodeWish[], machineFrames: number,
): void {
  const missing = machineFrames - wishes.reduce((sum, { frames }) => sum + frames, 0)
  const share = Math.floor(missing / wishes.length / ADDED_FRAMES) * ADDED_FRAMES
  let first = 0
  wishes.forEach((wish, i) => {
    const node = nodes[i]!
    node.firstFrame = first
    node.frames = wish.frames
    node.room = wish.frames + share
    wish.distances.forEach((distance, to) => node.distances.set(to, distance))
    first += node.room
  })
}

/** Views of the nodes that there are. */
export function nodesOf(
  host: { readonly nodeCount: number }, buffer: SharedArrayBuffer, at: number,
): NodeView[] {
  return Array.from({ length: host.nodeCount }, (_, i) =>
    NodeState.on(buffer, at + i * NodeState.size))
}
