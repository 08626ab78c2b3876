/**
 * Physical CPUs and memory that come and go, as xen-hptool has them of libxenctrl: refusals are
 * error numbers, not LibxlErrors, for the tool shows them.
 */
import {
  XEN_SYSCTL_CPU_HOTPLUG_OFFLINE, XEN_SYSCTL_CPU_HOTPLUG_ONLINE,
  XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE, XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE,
} from '../../abi/xen/sysctl.ts'
import { type PageOutcome, XenError, type Xenctrl } from '../../dom0/interfaces.ts'

export interface Hotplug {
  /** 0, or the number of the error. */
  setCpuOnline(cpu: number, online: boolean): Promise<number>
  setSmt(enabled: boolean): Promise<number>
  markPageOffline(mfn: number): Promise<PageOutcome>
  markPageOnline(mfn: number): Promise<PageOutcome>
  queryPageOffline(mfn: number): Promise<PageOutcome>
  /** Adds the frames from `first` to before `end` to a node. */
  addMemory(first: number, end: number, node: number): Promise<number>
}

function errnoOf(work: () => void): number {
  try {
    work()
    return 0
  } catch (error) {
    if (!(error instanceof XenError)) throw error
    return error.errno
  }
}

export function localHotplug(xenctrl: Xenctrl): Hotplug {
  return {
    setCpuOnline: async (cpu, online) => errnoOf(() => xenctrl.hotplugCpu(
      online ? XEN_SYSCTL_CPU_HOTPLUG_ONLINE : XEN_SYSCTL_CPU_HOTPLUG_OFFLINE, cpu)),
    setSmt: async (enabled) => errnoOf(() => xenctrl.hotplugCpu(
      enabled ? XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE : XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE, 0)),
    markPageOffline: async (mfn) => xenctrl.markPageOffline(mfn),
    markPageOnline: async (mfn) => xenctrl.markPageOnline(mfn),
    queryPageOffline: async (mfn) => xenctrl.queryPageOffline(mfn),
    addMemory: async (first, end, node) => errnoOf(() => xenctrl.addMemory(first, end, node)),
  }
}
