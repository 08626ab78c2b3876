/**
 * Back-ends as drivers on xenbus: devices appear and disappear in the store, and each goes through
 * the states of xen/include/public/io/xenbus.h together with its front-end.
 *
 * Whoever writes the nodes of a device (a toolstack) makes it, and whoever removes them ends it.
 * A front-end may go and come again, as in a guest that boots another kernel. Front-ends write what
 * they like; a step that makes no sense is not taken.
 */
import {
  XenbusStateClosed, XenbusStateClosing, XenbusStateConnected, XenbusStateInitialised,
  XenbusStateInitialising, XenbusStateInitWait, XenbusStateUnknown,
} from '../abi/xen/io/xenbus.ts'
import { asDomid, type Domid } from '../abi/numbers.ts'
import type { Log } from '../base/log.ts'
import { XenError } from '../dom0/interfaces.ts'
import { StoreError, type WatchHandle, type XenstoreClient } from '../xenstore/client.ts'
import { domainPath } from '../xenstore/path.ts'

/** Where a device's two ends are in the store. */
export interface DeviceNodes {
  readonly store: XenstoreClient
  readonly backend: string
  readonly frontend: string
  readonly domid: Domid
  /** The number of the device among those of its kind and domain. */
  readonly devid: number
}

/** The kind's own part of a device. */
export interface Backend {
  /** Connects to a front-end that has written what it offers; may throw BackendError. */
  connect(): void
  /** Lets go of all that `connect` took; may be called without. */
  disconnect(): void
  /** The device is gone. */
  remove(): void
}

/** A front-end that cannot be connected to. */
export class BackendError extends Error {
  override readonly name = 'BackendError'
}

/**
 * Makes the kind's part of a new device, and publishes what it offers; `failed` is to be called for
 * a front-end that cannot be served any longer, after disconnecting from it.
 */
export type Probe = (nodes: DeviceNodes, failed: (why: string) => void) => Backend

/** Reads a node of the front-end as a whole number of 32 bits; undefined when it is none. */
export function numberAt(store: XenstoreClient, path: string): number | undefined {
  const text = store.read(path)
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const value = Number(text)
  return value < 2 ** 32 ? value : undefined
}

/** All devices of one kind that this domain serves. */
export class BackendBus {
  readonly #store: XenstoreClient
  readonly #root: string
  readonly #probe: Probe
  readonly #first: number
  readonly #log: Log
  readonly #devices = new Map<string, Device>()
  readonly #watch: WatchHandle
  #probing: string | undefined

  /** `kind` is the name in the store: "vif", "vbd". Devices below `first` are others' affair. */
  constructor(store: XenstoreClient, kind: string, probe: Probe, log: Log, first = 0) {
    this.#store = store
    this.#first = first
    this.#root = `${domainPath(0)}/backend/${kind}`
    this.#probe = probe
    this.#log = log
    this.#watch = store.watch(this.#root, (path) => this.#changed(path))
  }

  /** Ends all devices. */
  close(): void {
    this.#watch.close()
    for (const device of this.#devices.values()) device.remove()
    this.#devices.clear()
  }

  #changed(path: string): void {
    const [domid, devid, ...rest] = path.slice(this.#root.length + 1).split('/')
    if (domid !== undefined && devid !== undefined) {
      // Nodes of a device's own are not looked at, except those that tell it something.
      if (rest.length === 0 || NODES_WATCHED.has(rest[0] ?? '')) this.#look(domid, devid)
      return
    }
    // A removal is announced by its topmost node only.
    for (const key of [...this.#devices.keys()]) {
      const [first = '', second = ''] = key.split('/')
      if (domid === undefined || domid === '' || domid === first) this.#look(first, second)
    }
  }

  #look(domid: string, devid: string): void {
    if (!/^\d+$/.test(domid) || !/^\d+$/.test(devid) || Number(devid) < this.#first) return
    const key = `${domid}/${devid}`
    const backend = `${this.#root}/${key}`
    const device = this.#devices.get(key)
    const frontend = this.#store.read(`${backend}/frontend`)
    if (frontend === undefined) {
      this.#devices.delete(key)
      device?.remove()
    } else if (device) {
      device.look()
    } else if (this.#probing !== key &&
      this.#store.read(`${backend}/state`) === `${XenbusStateInitialising}`) {
      const nodes: DeviceNodes = {
        store: this.#store, backend, frontend, domid: asDomid(Number(domid)), devid: Number(devid),
      }
      // What a probe writes is no news of another device.
      this.#probing = key
      try {
        this.#devices.set(key, new Device(nodes, this.#probe, this.#log))
      } finally {
        this.#probing = undefined
      }
    }
  }
}

const NODES_WATCHED: ReadonlySet<string> = new Set([
  'frontend', 'state', 'online', 'hotplug-status',
])

class Device {
  readonly #nodes: DeviceNodes
  readonly #backend: Backend
  readonly #log: Log
  readonly #watch: WatchHandle
  #connected = false
  #removed = false

  constructor(nodes: DeviceNodes, probe: Probe, log: Log) {
    this.#nodes = nodes
    this.#log = log
    this.#backend = probe(nodes, (why) => this.#failed(why))
    this.#setState(XenbusStateInitWait)
    this.#watch = nodes.store.watch(`${nodes.frontend}/state`, () => this.look())
  }

  /** Goes where the front-end's state leads. */
  look(): void {
    if (this.#removed) return
    const { store, backend, frontend } = this.#nodes
    const own = numberAt(store, `${backend}/state`)
    if (store.read(`${backend}/online`) === '0') {
      if (own === XenbusStateClosing) return this.#detach()
      // No front-end is waited for any more.
      if (own === XenbusStateClosed) return
    }
    switch (numberAt(store, `${frontend}/state`) ?? XenbusStateUnknown) {
      case XenbusStateInitialising:
        // After a front-end went, the next one may come.
        if (own === XenbusStateClosed || own === XenbusStateClosing) {
          this.#disconnect()
          this.#setState(XenbusStateInitWait)
        }
        return
      case XenbusStateInitialised:
      case XenbusStateConnected:
        if (own === XenbusStateInitWait) this.#connect()
        return
      case XenbusStateClosing:
        if (own === XenbusStateConnected || own === XenbusStateInitWait) {
          this.#disconnect()
          this.#setState(XenbusStateClosing)
        }
        return
      case XenbusStateClosed:
        this.#disconnect()
        if (own !== XenbusStateClosed && own !== XenbusStateInitWait) {
          this.#setState(XenbusStateClosed)
        }
        return
      default:
        this.#disconnect()
    }
  }

  /** The toolstack wants the device gone: waits for the front-end to close, if there is one. */
  #detach(): void {
    const { store, frontend } = this.#nodes
    const theirs = numberAt(store, `${frontend}/state`) ?? XenbusStateUnknown
    if (this.#connected && theirs === XenbusStateConnected) return
    this.#disconnect()
    this.#setState(XenbusStateClosed)
  }

  #connect(): void {
    const { store, backend } = this.#nodes
    // What the host has to do for it comes first.
    if ((store.read(`${backend}/hotplug-status`) ?? 'connected') !== 'connected') return
    try {
      this.#backend.connect()
    } catch (error) {
      const isTheirs = error instanceof BackendError || error instanceof XenError
      if (!isTheirs) throw error
      this.#backend.disconnect()
      return this.#failed(error.message)
    }
    this.#connected = true
    this.#setState(XenbusStateConnected)
  }

  /** Says what is wrong where front-ends and people look for it, and closes. */
  #failed(why: string): void {
    const { store, backend, domid } = this.#nodes
    const [, , , , ...name] = backend.split('/')
    this.#connected = false
    this.#log.warn(`Domain ${domid}: ${backend}: ${why}`)
    store.write(`${domainPath(0)}/error/${name.join('/')}/error`, why)
    this.#setState(XenbusStateClosing)
  }

  #disconnect(): void {
    if (!this.#connected) return
    this.#connected = false
    this.#backend.disconnect()
  }

  #setState(state: number): void {
    const { store, backend } = this.#nodes
    try {
      // A device that is being removed must not come again by our writing to it.
      if (store.read(`${backend}/state`) !== undefined) store.write(`${backend}/state`, `${state}`)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
    }
  }

  remove(): void {
    if (this.#removed) return
    this.#removed = true
    this.#watch.close()
    this.#disconnect()
    this.#backend.remove()
  }
}
