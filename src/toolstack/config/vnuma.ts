/**
 * vnuma= of an xl.cfg: the virtual nodes of a domain, each a list of `key=value`.
 *
 * Obeys xl.cfg(5); messages are those of xl 4.17. Where xl takes a word for a range of VCPUs that
 * is none, it goes on with VCPU 0; here it is refused. What needs the host to be known (whether
 * there is such a node, whether there are as many CPUs) is checked by `vnumaRefusal`.
 */
import { cpusIn } from './cpu-range.ts'
import type { Value } from './parser.ts'

/** A virtual node. */
export interface VnodeConfig {
  /** The node of the host that it is on. */
  readonly pnode: number
  readonly memoryKib: number
  readonly vcpus: readonly number[]
  /** To each virtual node, itself included. */
  readonly distances: readonly number[]
}

/** What is wrong with vnuma=, as xl says it. */
export class VnumaError extends Error {
  override readonly name = 'VnumaError'
}

const LOCAL_DISTANCE = 10
const REMOTE_DISTANCE = 20
const KIB_A_MIB = 1024
/** As many as the hypervisor takes. */
export const MOST_VNODES = 16
const MOST_VCPUS = 128
/** A range may name VCPUs that no domain has: then others are missing. */
const HIGHEST_VCPU = 4095

/** The nodes of the list `items`; `warn` is told of an item that is no list. */
export function parseVnuma(items: readonly Value[], warn: () => void): VnodeConfig[] {
  if (items.length > MOST_VNODES) {
    throw new VnumaError(`xl: ${items.length} vnodes; a domain has at most ${MOST_VNODES}`)
  }
  return items.map((item, i) => {
    if (item.kind !== 'list') {
      warn()
      throw new VnumaError('xl: cannot get vnode config option list')
    }
    const options = new Map<string, string>()
    for (const option of item.items) {
      if (option.kind !== 'atom') continue
      const [name = '', value = ''] = option.text.split('=').filter((part) => part !== '')
      if (value === '') throw new VnumaError(`xl: failed to split "${option.text}" into pair`)
      options.set(name.trim(), value.trim())
    }
    const distances = (options.get('vdistances') ?? '').split(',').filter((text) => text !== '')
      .map(numberOf)
    return {
      pnode: numberOf(options.get('pnode') ?? '0'),
      memoryKib: numberOf(options.get('size') ?? '0') * KIB_A_MIB,
      vcpus: vcpusIn(options.get('vcpus') ?? ''),
      distances: items.map((_, to) =>
        distances[to] ?? (to === i ? LOCAL_DISTANCE : REMOTE_DISTANCE)),
    }
  })
}

function numberOf(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value <= Number.MAX_SAFE_INTEGER / KIB_A_MIB) return value
  throw new VnumaError(`xl: failed to convert "${text}" to number`)
}

/** All of them, also those named twice. */
function vcpusIn(text: string): number[] {
  const all: number[] = []
  for (const range of text === '' ? [] : text.split(',')) {
    const vcpus = /^\d/.test(range)
      ? cpusIn(range, new Array<number>(HIGHEST_VCPU + 1).fill(0)) : undefined
    if (!vcpus) throw new VnumaError(`xl: invalid range of vcpus: ${range}`)
    all.push(...vcpus)
    if (all.length > MOST_VCPUS) {
      throw new VnumaError(`xl: a vnode has more than ${MOST_VCPUS} vcpus`)
    }
  }
  return all
}

/** Why a host with so many nodes and online CPUs does not take the configuration, as xl says it. */
export function vnumaRefusal(
  vnodes: readonly VnodeConfig[], given: { readonly maxvcpus: boolean },
  host: { readonly nodes: number, readonly cpus: number },
): string | undefined {
  const wrong = vnodes.find(({ pnode }) => pnode >= host.nodes)
  if (wrong) return `xl: invalid pnode number: ${wrong.pnode}`
  const vcpus = vnodes.reduce((sum, vnode) => sum + vnode.vcpus.length, 0)
  return given.maxvcpus || vcpus <= host.cpus ? undefined
    : 'xl: vnuma specifies more vcpus than pcpus, use maxvcpus= to override this check.'
}
