/**
 * PV network interfaces in the store, as libxl writes, lists and removes them.
 */
import { XenbusStateClosed, XenbusStateClosing, XenbusStateInitialising } from
  '../../abi/xen/io/xenbus.ts'
import type { StoreAccess, XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { Permissions } from '../../xenstore/permissions.ts'
import type { VifSpec } from '../config/vif.ts'
import { ERROR_FAIL, ERROR_INVAL, LibxlError, type VifSummary } from './libxl.ts'

/** The bridge that is there without being made (xl.conf's vif.default.bridge). */
export const DEFAULT_BRIDGE = 'xenbr0'
const DEFAULT_SCRIPT = 'vif-bridge'
const SCRIPTS = '/etc/xen/scripts'
const DEFAULT_MTU = 1500

/** The specification with everything chosen that was left open. */
export function completeVif(
  vif: VifSpec, taken: Iterable<number>, random: Uint8Array,
): VifSpec & { readonly devid: number, readonly mac: string } {
  const [a = 0, b = 0, c = 0] = random
  const mac = [0x00, 0x16, 0x3e, a & 0x7f, b, c]
    .map((byte) => byte.toString(16).padStart(2, '0')).join(':')
  const used = new Set(taken)
  let devid = 0
  while (used.has(devid)) devid++
  return { ...vif, mac: vif.mac ?? mac, devid: vif.devid ?? devid }
}

/** Numbers of a domain's interfaces. */
export function vifIds(store: StoreAccess, domid: number): number[] {
  return store.directory(`/libxl/${domid}/device/vif`).map(Number).sort((a, b) => a - b)
}

/** Writes an interface's nodes; fails, and leaves none, when its bridge does not take it. */
export function addVif(store: XenstoreClient, domid: number, vif: VifSpec): void {
  const { devid = 0 } = vif
  if (vif.backend !== undefined && vif.backend !== '0' && vif.backend !== 'Domain-0') {
    throw new LibxlError(ERROR_INVAL, `Domain ${domid}:backend "${vif.backend}": only the ` +
      'control domain serves network interfaces')
  }
  if (vifIds(store, domid).includes(devid)) {
    throw new LibxlError(ERROR_FAIL, `Domain ${domid}:device already exists in xenstore`)
  }
  store.transaction((tree) => writeVif(tree, domid, devid, vif))
  // The driver has seen it by now: it hears of nodes as they come.
  const back = backendPath(domid, devid)
  if (store.read(`${back}/hotplug-status`) === 'connected') return
  const why = store.read(`${back}/hotplug-error`) ?? 'nobody serves it'
  removeVif(store, domid, devid)
  throw new LibxlError(ERROR_FAIL, `Domain ${domid}:unable to add vif device ${devid}: ${why}`)
}

function backendPath(domid: number, devid: number): string {
  return `${domainPath(0)}/backend/vif/${domid}/${devid}`
}

function frontendPath(domid: number, devid: number): string {
  return `${domainPath(domid)}/device/vif/${devid}`
}

function writeVif(tree: StoreAccess, domid: number, devid: number, vif: VifSpec): void {
  const controlOnly: Permissions = [{ domid: 0, access: 0 }]
  const readable: Permissions = [{ domid: 0, access: 0 }, { domid, access: 1 }]
  const owned: Permissions = [{ domid, access: 0 }, { domid: 0, access: 1 }]
  const put = (path: string, permissions: Permissions, value = ''): void => {
    tree.write(path, value)
    tree.setPermissions(path, permissions)
  }
  const front = frontendPath(domid, devid)
  const back = backendPath(domid, devid)
  const mac = vif.mac ?? ''
  const { script = DEFAULT_SCRIPT, bridge = DEFAULT_BRIDGE } = vif
  const nodes: [string, string | undefined][] = [
    ['frontend', front],
    ['frontend-id', `${domid}`],
    ['online', '1'],
    ['state', `${XenbusStateInitialising}`],
    ['script', script.startsWith('/') ? script : `${SCRIPTS}/${script}`],
    ['vifname', vif.vifname],
    ['mac', mac],
    ['ip', vif.ip],
    ['bridge', bridge],
    ['gatewaydev', vif.gatewaydev],
    ['rate', vif.rate && `${vif.rate.bytes},${vif.rate.intervalUs}`],
    ['forward', vif.forwards?.join(' ')],
    ['handle', `${devid}`],
    ['type', vif.type === 'ioemu' ? 'vif_ioemu' : 'vif'],
    ['hotplug-status', ''],
  ]
  if (tree.read(`${domainPath(domid)}/device/vif`) === undefined) {
    put(`${domainPath(domid)}/device/vif`, readable)
  }
  const fronts: [string, string][] = [
    ['backend', back], ['backend-id', '0'], ['state', `${XenbusStateInitialising}`],
    ['handle', `${devid}`], ['mac', mac], ['trusted', vif.trusted === false ? '0' : '1'],
  ]
  put(front, owned)
  for (const [name, value] of fronts) put(`${front}/${name}`, owned, value)
  put(`${front}/mtu`, readable, `${vif.mtu ?? DEFAULT_MTU}`)
  const records: [string, Permissions, readonly [string, string | undefined][]][] = [
    [`/libxl/${domid}/device/vif/${devid}`, controlOnly, [['backend', back], ...nodes]],
    [back, readable, nodes],
  ]
  for (const [record, permissions, all] of records) {
    put(record, permissions)
    for (const [name, value] of all) {
      if (value !== undefined) put(`${record}/${name}`, permissions, value)
    }
  }
}

/** A number in the store, or -1 as libxl has it for what is not there. */
function numberIn(store: StoreAccess, path: string): number {
  const text = store.read(path)
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : -1
}

/** What `xl network-list` shows of a domain. */
export function listVifs(store: StoreAccess, domid: number): VifSummary[] {
  return vifIds(store, domid).map((devid) => {
    const front = frontendPath(domid, devid)
    const back = backendPath(domid, devid)
    return {
      devid, backendId: 0, mac: store.read(`${back}/mac`) ?? '',
      handle: numberIn(store, `${front}/handle`), state: numberIn(store, `${front}/state`),
      eventChannel: numberIn(store, `${front}/event-channel`),
      transmitRing: numberIn(store, `${front}/tx-ring-ref`),
      receiveRing: numberIn(store, `${front}/rx-ring-ref`), backend: back,
    }
  })
}

/** The interface that `name` means: its number or its address. */
export function findVif(store: StoreAccess, domid: number, name: string): number | undefined {
  const vifs = listVifs(store, domid)
  const found = /^\d+$/.test(name)
    ? vifs.find(({ devid }) => devid === Number(name))
    : vifs.find(({ mac }) => mac === name.toLowerCase())
  return found?.devid
}

/** Asks the back-end to let an interface go. */
export function requestDetach(store: XenstoreClient, domid: number, devid: number): void {
  const back = backendPath(domid, devid)
  store.transaction((tree) => {
    tree.write(`${back}/online`, '0')
    tree.write(`${back}/state`, `${XenbusStateClosing}`)
  })
}

/** Calls back, once, when the back-end has let an interface go; the result ends the wait. */
export function whenDetached(
  store: XenstoreClient, domid: number, devid: number, done: () => void,
): () => void {
  const path = `${backendPath(domid, devid)}/state`
  let over = false
  const watch = store.watch(path, () => {
    const state = store.read(path)
    if (over || state !== undefined && state !== `${XenbusStateClosed}`) return
    over = true
    done()
  })
  return () => {
    over = true
    watch.close()
  }
}

/** Removes an interface's nodes, in whatever state it is. */
export function removeVif(store: XenstoreClient, domid: number, devid: number): void {
  const backends = `${domainPath(0)}/backend`
  store.transaction((tree) => {
    tree.remove(frontendPath(domid, devid))
    tree.remove(backendPath(domid, devid))
    tree.remove(`/libxl/${domid}/device/vif/${devid}`)
    // Like libxl, leave no empty directories behind.
    const empty = [
      `${domainPath(domid)}/device/vif`, `/libxl/${domid}/device/vif`, `${backends}/vif/${domid}`,
      `${backends}/vif`,
    ]
    for (const path of empty) {
      if (tree.read(path) !== undefined && tree.directory(path).length === 0) tree.remove(path)
    }
  })
}
