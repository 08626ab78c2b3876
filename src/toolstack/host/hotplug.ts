/**
 * Physical CPUs and memory that come and go, over the socket: the tool's side, and the host
 * process's.
 */
import type { Hotplug } from '../domain/hotplug.ts'
import { ERROR_INVAL, type Libxl, LibxlError } from '../domain/libxl.ts'
import { within } from './check.ts'

const isWord = within(0, 0xffff_ffff)

function wordIn(value: unknown): number {
  if (isWord(value)) return value as number
  throw new LibxlError(ERROR_INVAL, 'invalid number')
}

type Method = (libxl: Libxl, params: readonly unknown[]) => Promise<unknown>
type Name = `hotplug.${keyof Hotplug}`

/** Requests by their names, as the host process answers them. */
export const hotplugMethods: Readonly<Record<Name, Method>> = {
  'hotplug.setCpuOnline': ({ hotplug }, [cpu, online]) =>
    hotplug.setCpuOnline(wordIn(cpu), online === true),
  'hotplug.setSmt': ({ hotplug }, [enabled]) => hotplug.setSmt(enabled === true),
  'hotplug.markPageOffline': ({ hotplug }, [mfn]) => hotplug.markPageOffline(wordIn(mfn)),
  'hotplug.markPageOnline': ({ hotplug }, [mfn]) => hotplug.markPageOnline(wordIn(mfn)),
  'hotplug.queryPageOffline': ({ hotplug }, [mfn]) => hotplug.queryPageOffline(wordIn(mfn)),
  'hotplug.addMemory': ({ hotplug }, [first, end, node]) =>
    hotplug.addMemory(wordIn(first), wordIn(end), wordIn(node)),
}

/** The same as the tool has it: each request goes over the socket. */
export function remoteHotplug(
  call: <T>(method: Name, ...params: unknown[]) => Promise<T>,
): Hotplug {
  return {
    setCpuOnline: (cpu, online) => call('hotplug.setCpuOnline', cpu, online),
    setSmt: (enabled) => call('hotplug.setSmt', enabled),
    markPageOffline: (mfn) => call('hotplug.markPageOffline', mfn),
    markPageOnline: (mfn) => call('hotplug.markPageOnline', mfn),
    queryPageOffline: (mfn) => call('hotplug.queryPageOffline', mfn),
    addMemory: (first, end, node) => call('hotplug.addMemory', first, end, node),
  }
}
