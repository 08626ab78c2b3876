/**
 * PV network interfaces of domains: their nodes in the store, as libxl writes and lists them.
 */
import type { XenstoreClient } from '../../xenstore/client.ts'
import type { VifSpec } from '../config/vif.ts'
import {
  backDomidOf, type DeviceContents, type DevicePaths, deviceIds, devicePaths, numberIn,
  removeDevice, waitForHotplug, type WaitingHost, writeDevice,
} from './device-nodes.ts'
import type { DeviceClass } from './devices.ts'
import { about } from './error-text.ts'
import { ERROR_FAIL, ERROR_INVAL, LibxlError, type VifSummary } from './libxl.ts'
import { readyAll, type ReadyDevices } from './ready-devices.ts'

/** The bridge that is there without being made (xl.conf's vif.default.bridge). */
export const DEFAULT_BRIDGE = 'xenbr0'
const DEFAULT_SCRIPT = 'vif-bridge'
const SCRIPTS = '/etc/xen/scripts'
const DEFAULT_MTU = 1500
/** How long a hotplug script may take, as in libxl. */
const HOTPLUG_MS = 40_000

type WholeVif = VifSpec & { readonly devid: number, readonly mac: string }

interface VifHost extends WaitingHost {
  /** `count` random bytes. */
  random(count: number): Uint8Array
}

interface OwnVif {
  readonly vif: WholeVif
  readonly paths: DevicePaths
}

export class Vifs implements DeviceClass<'vifs'> {
  readonly type = 'vif'
  readonly guestMayKeep = false
  readonly #store: XenstoreClient
  readonly #host: VifHost
  /** By domain and number of device. */
  readonly #vifs = new Map<number, Map<number, OwnVif>>()

  constructor(store: XenstoreClient, host: VifHost) {
    this.#store = store
    this.#host = host
  }

  prepare(specs: readonly VifSpec[]): Promise<ReadyDevices> {
    return readyAll(specs, (spec) => {
      let paths: DevicePaths | undefined
      return {
        connect: (domid) => void (paths = this.#add(domid, spec)),
        connected: async () => paths && await this.#connected(paths),
        drop: async () => {},
      }
    })
  }

  /** Makes an interface; what of it others do may be over later. */
  #add(domid: number, spec: VifSpec): DevicePaths {
    const backDomid = backDomidOf(this.#store, spec.backend)
    if (backDomid === undefined) {
      throw new LibxlError(ERROR_INVAL, `${about(domid)}no backend domain "${spec.backend}"`)
    }
    const taken = deviceIds(this.#store, domid, 'vif')
    const vif = completeVif(spec, taken, this.#host.random(3))
    const { devid } = vif
    if (taken.includes(devid)) {
      throw new LibxlError(ERROR_FAIL, `${about(domid)}device already exists in xenstore`)
    }
    const paths = devicePaths(domid, devid, 'vif', 'vif', backDomid)
    writeDevice(this.#store, paths, contentsOf(vif))
    let own = this.#vifs.get(domid)
    if (!own) this.#vifs.set(domid, own = new Map())
    own.set(devid, { vif, paths })
    return paths
  }

  /** Resolves when an interface is on its network; fails, and leaves nothing of it, when it cannot.
   * What a driver domain's script does is not waited for. */
  async #connected(paths: DevicePaths): Promise<void> {
    const { domid, backDomid, back } = paths
    if (backDomid !== 0) return
    const status = await waitForHotplug(this.#store, this.#host, back, HOTPLUG_MS)
    if (status === 'connected') return
    const devid = Number(back.split('/').at(-1))
    const why = this.#store.read(`${back}/hotplug-error`) ?? 'its script did not end in time'
    await this.remove(domid, devid)
    throw new LibxlError(ERROR_FAIL, `${about(domid)}unable to add vif device ${devid}: ${why}`)
  }

  list(domid: number): VifSummary[] {
    const own = [...this.#vifs.get(domid) ?? []].sort(([a], [b]) => a - b)
    return own.map(([devid, { vif: { mac }, paths: { front, back, backDomid } }]) => {
      const number = (name: string): number => numberIn(this.#store, `${front}/${name}`)
      return {
        devid, backendId: backDomid, mac, handle: number('handle'), state: number('state'),
        eventChannel: number('event-channel'), transmitRing: number('tx-ring-ref'),
        receiveRing: number('rx-ring-ref'), backend: back,
      }
    })
  }

  specs(domid: number): ReadonlyMap<number, VifSpec> {
    const own = [...this.#vifs.get(domid) ?? []]
    return new Map(own.map(([devid, { vif }]) => [devid, vif]))
  }

  /** By number or address. */
  find(domid: number, name: string): number | undefined {
    const found = [...this.specs(domid)].find(([devid, { mac }]) =>
      /^\d+$/.test(name) ? devid === Number(name) : mac === name.toLowerCase())
    return found?.[0]
  }

  backOf(domid: number, devid: number): string {
    return this.#vifs.get(domid)?.get(devid)?.paths.back ?? ''
  }

  async remove(domid: number, devid: number): Promise<void> {
    const own = this.#vifs.get(domid)
    const paths = own?.get(devid)?.paths
    if (!own || !paths) return
    own.delete(devid)
    if (own.size === 0) this.#vifs.delete(domid)
    removeDevice(this.#store, paths)
  }
}

/** The specification with everything chosen that was left open. */
function completeVif(vif: VifSpec, taken: Iterable<number>, random: Uint8Array): WholeVif {
  const [a = 0, b = 0, c = 0] = random
  const mac = [0x00, 0x16, 0x3e, a & 0x7f, b, c]
    .map((byte) => byte.toString(16).padStart(2, '0')).join(':')
  const used = new Set(taken)
  let devid = 0
  while (used.has(devid)) devid++
  return { ...vif, mac: vif.mac ?? mac, devid: vif.devid ?? devid }
}

function contentsOf(vif: WholeVif): DeviceContents {
  const { devid, mac, script = DEFAULT_SCRIPT, bridge = DEFAULT_BRIDGE } = vif
  return {
    front: [
      ['handle', `${devid}`], ['mac', mac], ['trusted', vif.trusted === false ? '0' : '1'],
    ],
    told: [['mtu', `${vif.mtu ?? DEFAULT_MTU}`]],
    both: [
      ['script', script.startsWith('/') ? script : `${SCRIPTS}/${script}`],
      ['vifname', vif.vifname],
      ['mac', mac],
      ['ip', vif.ip],
      ['bridge', bridge],
      ['gatewaydev', vif.gatewaydev],
      ['rate', vif.rate && `${vif.rate.bytes},${vif.rate.intervalUs}`],
      ['forward', vif.forwards?.join(' ')],
      ['capture', vif.capture],
      ['handle', `${devid}`],
      ['type', vif.type === 'ioemu' ? 'vif_ioemu' : 'vif'],
      ['hotplug-status', ''],
    ],
    back: [],
  }
}
