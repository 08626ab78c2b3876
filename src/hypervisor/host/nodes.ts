/**
 * NUMA nodes: equal parts of the machine's cores and memory, as many as `numa=fake=N` on Xen's
 * command line asks for.
 *
 * Nodes are a preference: a domain gets frames of the nodes that it has affinity to while there are
 * any. Distances are those that ACPI gives to what is here and what is elsewhere.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import type { HostState } from './state.ts'

export const MAX_NODES = 8
export const ALL_NODES = 0xff
export const LOCAL_DISTANCE = 10
export const REMOTE_DISTANCE = 20

type Host = ViewOf<typeof HostState>

/** How many nodes the command line asks for: no more than there are cores. */
export function nodesWish(commandLine: string, cores: number): number {
  const wish = Number(/(?:^|\s)numa=fake=(\d+)(?:\s|$)/.exec(commandLine)?.[1] ?? 1)
  return Math.max(1, Math.min(wish, cores, MAX_NODES))
}

export function nodeOfCore({ coreCount, nodeCount }: Host, core: number): number {
  return Math.floor(core * nodeCount / coreCount)
}

/** The first frame of a node; that of the node behind the last is the end of memory. */
export function firstFrame({ machineFrames, nodeCount }: Host, node: number): number {
  return Math.min(node * Math.ceil(machineFrames / nodeCount / 32) * 32, machineFrames)
}
