/**
 * What can be changed of a domain while it runs: memory, VCPUs online and their CPUs, weights,
 * triggers and sysrq keys.
 *
 * As in libxl, memory and VCPUs are wishes in the store that the guest's drivers follow; the
 * hypervisor is told the limit only.
 */
import { asDomid } from '../../abi/numbers.ts'
import {
  XEN_DOMCTL_SENDTRIGGER_INIT, XEN_DOMCTL_SENDTRIGGER_NMI, XEN_DOMCTL_SENDTRIGGER_POWER,
  XEN_DOMCTL_SENDTRIGGER_RESET, XEN_DOMCTL_SENDTRIGGER_SLEEP,
} from '../../abi/xen/domctl.ts'
import { XenError, type Xenctrl } from '../../dom0/interfaces.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import { about, errorText } from './error-text.ts'
import {
  type AffinityChange, ERROR_FAIL, ERROR_INVAL, LibxlError,
} from './libxl.ts'

/** What a domain may have beyond its memory, for the pages of its devices. */
const MEMORY_SLACK_KIB = 1024

const triggers: ReadonlyMap<string, number> = new Map([
  ['nmi', XEN_DOMCTL_SENDTRIGGER_NMI], ['reset', XEN_DOMCTL_SENDTRIGGER_RESET],
  ['init', XEN_DOMCTL_SENDTRIGGER_INIT], ['power', XEN_DOMCTL_SENDTRIGGER_POWER],
  ['sleep', XEN_DOMCTL_SENDTRIGGER_SLEEP],
])

/** The error for a hypercall that was refused; anything else is thrown on. */
function refused(what: string, cause: unknown): LibxlError {
  if (!(cause instanceof XenError)) throw cause
  return new LibxlError(ERROR_FAIL, `${what}: ${errorText(cause.errno)}`, { cause })
}

/** One bit a CPU, as hypercalls take them. */
export function cpuMapOf(cpus: readonly number[]): Uint8Array {
  const map = new Uint8Array((Math.max(0, ...cpus) >> 3) + 1)
  for (const cpu of cpus) map[cpu >> 3] = (map[cpu >> 3] ?? 0) | 1 << (cpu & 7)
  return map
}

/** Changes running domains; the caller has made sure that they exist. */
export class Tuning {
  readonly #store: XenstoreClient
  readonly #xenctrl: Xenctrl

  constructor(store: XenstoreClient, xenctrl: Xenctrl) {
    this.#store = store
    this.#xenctrl = xenctrl
  }

  /** Asks the guest to have `kib` of memory, and lets it have no more. */
  setMemoryTarget(domid: number, kib: number): void {
    const path = `${domainPath(domid)}/memory`
    const most = Number(this.#store.read(`${path}/static-max`) ?? 0)
    if (kib > most) {
      throw new LibxlError(ERROR_INVAL, `${about(domid)}memory_dynamic_max must be less than ` +
        'or equal to memory_static_max\n')
    }
    this.#limit(domid, kib)
    this.#populate(domid, kib)
    this.#store.write(`${path}/target`, `${kib}`)
    const vm = this.#store.read(`${domainPath(domid)}/vm`)
    if (vm !== undefined) this.#store.write(`${vm}/memory`, `${kib >> 10}`)
  }

  /** Sets the most that a target may be. */
  setMaxMemory(domid: number, kib: number): void {
    const path = `${domainPath(domid)}/memory`
    if (kib < Number(this.#store.read(`${path}/target`) ?? 0)) {
      throw new LibxlError(ERROR_INVAL, `${about(domid)}memory_static_max must be greater than ` +
        'or or equal to memory_dynamic_max: Success')
    }
    this.#limit(domid, kib)
    this.#store.write(`${path}/static-max`, `${kib}`)
  }

  sendSysrq(domid: number, key: string): void {
    this.#store.write(`${domainPath(domid)}/control/sysrq`, key)
  }

  sendTrigger(domid: number, name: string, vcpu: number): void {
    const trigger = triggers.get(name)
    if (trigger === undefined) {
      throw new LibxlError(ERROR_INVAL,
        `${about(domid)}Send trigger '${name}' failed, rc=${ERROR_INVAL}`)
    }
    try {
      this.#xenctrl.sendTrigger(asDomid(domid), trigger, vcpu)
    } catch (cause) {
      throw refused(`${about(domid)}Send trigger '${name}' failed`, cause)
    }
  }

  setVcpuAffinity(domid: number, vcpu: number, change: AffinityChange): void {
    const { hard, soft } = change
    try {
      this.#xenctrl.setVcpuAffinity(asDomid(domid), vcpu, {
        ...hard && { hard: cpuMapOf(hard) }, ...soft && { soft: cpuMapOf(soft) },
      })
    } catch (cause) {
      throw refused(`${about(domid)}Setting vcpu affinity`, cause)
    }
  }

  /** Asks the guest to have its first `count` VCPUs online and no others. */
  setOnlineVcpus(domid: number, count: number): void {
    const path = `${domainPath(domid)}/cpu`
    const vcpus = this.#store.directory(path)
    if (count === 0) {
      throw new LibxlError(ERROR_FAIL,
        `${about(domid)}Requested 0 VCPUs!: Function not implemented`)
    }
    if (count > vcpus.length) {
      throw new LibxlError(ERROR_FAIL, `${about(domid)}Requested ${count} VCPUs, however ` +
        `maxcpus is ${vcpus.length}!: Function not implemented`)
    }
    this.#store.transaction((tree) => {
      for (const vcpu of vcpus) {
        const wanted = Number(vcpu) < count ? 'online' : 'offline'
        const at = `${path}/${vcpu}/availability`
        if (tree.read(at) !== wanted) tree.write(at, wanted)
      }
    })
  }

  /** What is populated on demand is a part of what it shall have. */
  #populate(domid: number, kib: number): void {
    if (domid !== 0) this.#xenctrl.setPodTarget(asDomid(domid), kib >> 2)
  }

  /** The control domain's memory is not ours to bound: it has none of the machine's. */
  #limit(domid: number, kib: number): void {
    if (domid !== 0) this.#xenctrl.setMaxMem(asDomid(domid), kib + MEMORY_SLACK_KIB)
  }
}
