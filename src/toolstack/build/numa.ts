/**
 * Where the memory of a domain's virtual nodes lies, and what else its guest is told of them.
 *
 * Laid down as by Xen's libxl_vnuma.c: node after node, with the hole below 4 GiB left out.
 */

/** A virtual node as it is asked for. */
export interface VirtualNode {
  readonly memoryKib: number
  readonly vcpus: readonly number[]
  /** To each virtual node, itself included. */
  readonly distances: readonly number[]
}

/** Guest-physical memory of one virtual node, in bytes. */
export interface NodeMemory {
  readonly start: number
  readonly end: number
  readonly vnode: number
}

export interface NumaAffinity {
  /** By virtual node. */
  readonly distances: readonly (readonly number[])[]
  /** By vcpu. */
  readonly vnodeOfVcpu: readonly number[]
  readonly memory: readonly NodeMemory[]
}

/** Lays the nodes down in memory with a hole. */
export function layNodes(
  nodes: readonly VirtualNode[], maxVcpus: number,
  hole: { readonly start: number, readonly end: number },
): NumaAffinity {
  let next = 0
  const memory: NodeMemory[] = []
  nodes.forEach(({ memoryKib }, vnode) => {
    for (let left = memoryKib * 1024; left > 0;) {
      const size = next < hole.start ? Math.min(left, hole.start - next) : left
      memory.push({ start: next, end: next + size, vnode })
      left -= size
      next += size
      if (next === hole.start) next = hole.end
    }
  })
  return {
    distances: nodes.map(({ distances }) => distances),
    vnodeOfVcpu: Array.from({ length: maxVcpus }, (_, vcpu) =>
      Math.max(0, nodes.findIndex(({ vcpus }) => vcpus.includes(vcpu)))),
    memory,
  }
}
