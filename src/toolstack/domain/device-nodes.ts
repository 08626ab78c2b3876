/**
 * The xenstore nodes of a device with two ends, as libxl writes, reads and removes them: those of
 * the front-end, of the back-end, and the toolstack's own record.
 */
import {
  XenbusStateClosed, XenbusStateClosing, XenbusStateInitialising,
} from '../../abi/xen/io/xenbus.ts'
import type { StoreAccess, XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { Permissions } from '../../xenstore/permissions.ts'
import { domidOf, nameOf } from './store-tree.ts'

/** Where the nodes of a device are. */
export interface DevicePaths {
  readonly domid: number
  /** The domain that has the back-end. */
  readonly backDomid: number
  readonly front: string
  readonly back: string
  /** The toolstack's own. */
  readonly record: string
}

/** A node's name and value; without a value it is left out. */
export type Node = readonly [name: string, value: string | undefined]

/** What `writeDevice` writes beside the nodes that every device has. */
export interface DeviceContents {
  /** The front-end's own. */
  readonly front: readonly Node[]
  /** Among them, but the control domain's. */
  readonly told?: readonly Node[]
  /** The back-end's, and in the record. */
  readonly both: readonly Node[]
  /** The back-end's alone. */
  readonly back: readonly Node[]
}

/** `type` is the front-end's; back-ends of the same type may have several (vbd: vbd, qdisk). */
export function devicePaths(
  domid: number, devid: number, type: string, backType = type, backDomid = 0,
): DevicePaths {
  return {
    domid, backDomid,
    front: `${domainPath(domid)}/device/${type}/${devid}`,
    back: `${domainPath(backDomid)}/backend/${backType}/${domid}/${devid}`,
    record: `${recordsOf(domid, type)}/${devid}`,
  }
}

/** The domain that `backend=` names, by number or name; undefined when there is none. */
export function backDomidOf(store: StoreAccess, name = '0'): number | undefined {
  const domid = /^\d+$/.test(name) ? Number(name) : domidOf(store, name)
  const isThere = domid !== undefined && nameOf(store, domid) !== undefined
  return domid === 0 || isThere ? domid : undefined
}

function recordsOf(domid: number, type: string): string {
  return `/libxl/${domid}/device/${type}`
}

/** The numbers of a domain's devices, in order. */
export function deviceIds(store: StoreAccess, domid: number, type: string): number[] {
  return store.directory(recordsOf(domid, type)).map(Number).sort((a, b) => a - b)
}

/** Writes a device's nodes, permissions and all; its driver hears of it at once. */
export function writeDevice(
  store: XenstoreClient, paths: DevicePaths, contents: DeviceContents,
): void {
  const { domid, backDomid, front, back, record } = paths
  const controlOnly: Permissions = [{ domid: 0, access: 0 }]
  const readable: Permissions = [{ domid: 0, access: 0 }, { domid, access: 1 }]
  const fronts: Permissions = [{ domid, access: 0 }, { domid: backDomid, access: 1 }]
  const backs: Permissions = [{ domid: backDomid, access: 0 }, { domid, access: 1 }]
  const state: Node = ['state', `${XenbusStateInitialising}`]
  const both: Node[] = [
    ['frontend', front], ['frontend-id', `${domid}`], ['online', '1'], state, ...contents.both,
  ]
  store.transaction((tree) => {
    const put = (path: string, permissions: Permissions, nodes: readonly Node[]): void => {
      for (const [name, value] of nodes) {
        if (value === undefined) continue
        tree.write(`${path}${name}`, value)
        tree.setPermissions(`${path}${name}`, permissions)
      }
    }
    const parent = parentOf(front)
    if (tree.read(parent) === undefined) put(parent, readable, [['', '']])
    put(front, fronts, [['', '']])
    put(`${front}/`, fronts,
      [['backend', back], ['backend-id', `${backDomid}`], state, ...contents.front])
    put(`${front}/`, readable, contents.told ?? [])
    put(record, controlOnly, [['', '']])
    put(`${record}/`, controlOnly, [['backend', back], ...both])
    put(back, backs, [['', '']])
    put(`${back}/`, backs, [...both, ...contents.back])
  })
}

/** Removes a device's nodes, in whatever state it is. */
export function removeDevice(store: XenstoreClient, { front, back, record }: DevicePaths): void {
  store.transaction((tree) => {
    for (const path of [front, back, record]) tree.remove(path)
    // Like libxl, leave no empty directories behind.
    const kinds = parentOf(parentOf(back))
    const empty = [parentOf(front), parentOf(record), parentOf(back), kinds, parentOf(kinds)]
    for (const path of empty) {
      if (tree.read(path) !== undefined && tree.directory(path).length === 0) tree.remove(path)
    }
  })
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** A number in the store, or -1 as libxl has it for what is not there. */
export function numberIn(store: StoreAccess, path: string): number {
  const text = store.read(path)
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : -1
}

/** What a wait for a device needs of its host. */
export interface WaitingHost {
  schedule(work: () => void): void
  delay(ms: number, work: () => void): () => void
}

/**
 * Asks the back-end to let a device go, which asks the front-end; resolves to whether that has
 * happened in time.
 */
export function askForDetach(
  store: XenstoreClient, host: WaitingHost, back: string, limitMs: number,
): Promise<boolean> {
  // A driver domain that is gone has taken its nodes along.
  if (store.read(`${back}/state`) === undefined) return Promise.resolve(true)
  store.transaction((tree) => {
    tree.write(`${back}/online`, '0')
    tree.write(`${back}/state`, `${XenbusStateClosing}`)
  })
  const isClosed = (state: string | undefined): boolean =>
    state === undefined || state === `${XenbusStateClosed}`
  return waitForNode(store, host, `${back}/state`, isClosed, limitMs)
}

/** What a hotplug script says in the end: "connected" or "error"; undefined when it says nothing in
 * time, or the device is gone before. */
export async function waitForHotplug(
  store: XenstoreClient, host: WaitingHost, back: string, limitMs: number,
): Promise<string | undefined> {
  const path = `${back}/hotplug-status`
  if (store.read(path) === '') await waitForNode(store, host, path, (it) => it !== '', limitMs)
  return store.read(path) || undefined
}

/** Whether another domain takes a device up in time; or has gone before, with its nodes. */
export async function waitForDriver(
  store: XenstoreClient, host: WaitingHost, back: string, limitMs: number,
): Promise<boolean> {
  const path = `${back}/state`
  const isTaken = (state: string | undefined): boolean => Number(state) > XenbusStateInitialising
  const isOver = (state: string | undefined): boolean => state === undefined || isTaken(state)
  // One of a driver domain that has died is nobody's any more.
  if (isOver(store.read(path))) return true
  await waitForNode(store, host, path, isOver, limitMs)
  return isTaken(store.read(path))
}

/** Waits until a node has a value that will do; resolves to whether that has happened in time. */
function waitForNode(
  store: XenstoreClient, host: WaitingHost, path: string,
  isDone: (value: string | undefined) => boolean, limitMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    let over = false
    const end = (done: boolean): void => {
      if (over) return
      over = true
      cancel()
      // Not from within the watch's own callback.
      host.schedule(() => watch.close())
      resolve(done)
    }
    const cancel = host.delay(limitMs, () => end(false))
    const watch = store.watch(path, () => {
      if (isDone(store.read(path))) end(true)
    })
  })
}
