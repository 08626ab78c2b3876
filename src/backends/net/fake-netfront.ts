/**
 * For tests only: a domain's memory, grants and event channels in memory, and a front-end that
 * drives its rings as Linux's xen-netfront does, or wildly.
 */
import { asDomid, asEvtchnPort, asGrantRef, type GrantRef } from '../../abi/numbers.ts'
import {
  NetifExtraInfo, NetifRxRequest, NetifRxResponse, NetifTxRequest, NetifTxResponse,
} from '../../abi/xen/io/netif.ts'
import { silentLog } from '../../base/log.ts'
import { type ControlDomain, type GrantedPiece, XenError } from '../../dom0/interfaces.ts'
import type { Bridge } from '../../network/bridge.ts'
import { type Frame, type MacAddress, parseMac } from '../../network/frame.ts'
import type { HostBridgeHost } from '../../network/host-bridge.ts'
import { HostNetworks } from '../../network/networks.ts'
import type { OpenVswitch } from '../../network/openvswitch.ts'
import type { Station, StationWish } from '../../network/station.ts'
import { type PortOptions, Switch, type SwitchPort } from '../../network/switch.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { defaultQuota } from '../../xenstore/operations.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { NetDriver } from './driver.ts'

const PAGE = 4096
const TX_RING = 1
const RX_RING = 2
const FIRST_BUFFER = 8
const RING_SIZE = 256
export const BACK = '/local/domain/0/backend/vif/1/0'
export const FRONT = '/local/domain/1/device/vif/0'

/** One request of a transmit ring. */
export interface TxSlot {
  readonly ref: number
  readonly offset?: number
  readonly size: number
  readonly flags?: number
}

/** An extra slot, by its type, with six bytes. */
export interface TxExtra {
  readonly type: number
  readonly flags?: number
  readonly bytes: readonly number[]
}

export class FakeNetfront {
  readonly store: LocalClient
  readonly bridge = new Switch(() => 0)
  /** The station at the other side of the bridge. */
  readonly peer: SwitchPort
  readonly peerGot: Frame[] = []
  readonly pages = new Map<number, Uint8Array>()
  readonly driver: NetDriver
  readonly handlers = new Map<number, () => void>()
  readonly later: (() => void)[] = []
  readonly delays: { readonly ms: number, readonly work: () => void }[] = []
  mappings = 0
  notifications = 0
  nowMs = 0
  #txProduced = 0
  #txSeen = 0
  #rxProduced = 0
  #rxSeen = 0
  #nextPort = 100

  constructor(backNodes: Readonly<Record<string, string>> = {}) {
    this.store = new LocalClient(new Xenstored(defaultQuota, silentLog))
    this.peer = this.bridge.attach({ trunks: [10] }, (frame) => void this.peerGot.push(frame))
    const bridge = {
      station: (_: StationWish, place: PortOptions): Station => ({
        attach: (options, deliver) => this.bridge.attach({ ...place, ...options }, deliver),
        close: () => {},
      }),
    } as Bridge
    const networks = new HostNetworks(new Map([['xenbr0', bridge]]), {} as OpenVswitch,
      { run: async () => undefined } as unknown as HostBridgeHost)
    this.driver = new NetDriver(this.store, {
      control: this.#control(), now: () => this.nowMs,
      schedule: (work) => void this.later.push(work),
      delay: (ms, work) => {
        const entry = { ms, work }
        this.delays.push(entry)
        return () => void this.delays.splice(this.delays.indexOf(entry) >>> 0, 1)
      },
    }, networks, silentLog)
    // As SHARED_RING_INIT leaves them.
    for (const ring of [TX_RING, RX_RING]) this.words(ring)[1] = this.words(ring)[3] = 1
    this.store.transaction((tree) => {
      const nodes = {
        frontend: FRONT, 'frontend-id': '1', online: '1', state: '1', bridge: 'xenbr0',
        mac: '00:16:3e:00:00:01', handle: '0', ...backNodes,
      }
      for (const [name, value] of Object.entries(nodes)) tree.write(`${BACK}/${name}`, value)
      tree.write(`${FRONT}/state`, '1')
    })
  }

  readonly mac = parseMac('00:16:3e:00:00:01') as MacAddress

  /** Writes what a front-end offers and says that it is connected. */
  connect(nodes: Readonly<Record<string, string>> = {}): void {
    const all = {
      'tx-ring-ref': `${TX_RING}`, 'rx-ring-ref': `${RX_RING}`, 'event-channel-tx': '5',
      'event-channel-rx': '6', 'request-rx-copy': '1', 'feature-sg': '1',
      'feature-gso-tcpv4': '1', 'feature-ipv6-csum-offload': '1', ...nodes,
    }
    for (const [name, value] of Object.entries(all)) this.store.write(`${FRONT}/${name}`, value)
    this.setState(4)
  }

  setState(state: number): void {
    this.store.write(`${FRONT}/state`, `${state}`)
  }

  get backState(): string | undefined {
    return this.store.read(`${BACK}/state`)
  }

  page(ref: number): Uint8Array {
    let page = this.pages.get(ref)
    if (!page) this.pages.set(ref, page = new Uint8Array(new SharedArrayBuffer(PAGE)))
    return page
  }

  words(ref: number): Int32Array {
    return new Int32Array(this.page(ref).buffer)
  }

  /** Signals all channels and lets what was put off happen, for a moment or a millisecond. */
  kick(): void {
    this.signal()
    for (const entry of this.delays.filter(({ ms }) => ms <= 1)) {
      this.delays.splice(this.delays.indexOf(entry), 1)
      entry.work()
    }
  }

  /** Signals all channels and lets what was put off for a moment happen. */
  signal(): void {
    for (const handler of [...this.handlers.values()]) handler()
    for (const work of this.later.splice(0)) work()
  }

  /** Puts requests and extra slots into the transmit ring. */
  transmit(...slots: readonly (TxSlot | TxExtra)[]): void {
    const page = new DataView(this.page(TX_RING).buffer)
    for (const slot of slots) {
      const at = 64 + (this.#txProduced % RING_SIZE) * NetifTxRequest.size
      if ('type' in slot) {
        const extra = NetifExtraInfo.on(page, at)
        extra.type = slot.type
        extra.flags = slot.flags ?? 0
        slot.bytes.forEach((byte, i) => page.setUint8(at + 2 + i, byte))
      } else {
        const request = NetifTxRequest.on(page, at)
        request.gref = asGrantRef(slot.ref)
        request.offset = slot.offset ?? 0
        request.flags = slot.flags ?? 0
        request.id = 1000 + this.#txProduced
        request.size = slot.size
      }
      this.#txProduced++
    }
    Atomics.store(this.words(TX_RING), 0, this.#txProduced)
  }

  /** Statuses of the responses that came to the transmit ring. */
  transmitted(): number[] {
    const page = new DataView(this.page(TX_RING).buffer)
    const produced = Atomics.load(this.words(TX_RING), 2)
    const statuses: number[] = []
    for (; this.#txSeen < produced; this.#txSeen++) {
      const at = 64 + (this.#txSeen % RING_SIZE) * NetifTxRequest.size
      statuses.push(NetifTxResponse.on(page, at).status)
    }
    Atomics.store(this.words(TX_RING), 3, produced + 1)
    return statuses
  }

  /** Offers `count` pages to receive into. */
  offer(count: number): void {
    const page = new DataView(this.page(RX_RING).buffer)
    for (let i = 0; i < count; i++, this.#rxProduced++) {
      const request = NetifRxRequest.on(page, 64 + (this.#rxProduced % RING_SIZE) * 8)
      request.id = this.#rxProduced % RING_SIZE
      request.gref = asGrantRef(FIRST_BUFFER + this.#rxProduced % RING_SIZE)
    }
    Atomics.store(this.words(RX_RING), 0, this.#rxProduced)
  }

  /** Responses of the receive ring. */
  received(): { flags: number, status: number, raw: number[], bytes: Uint8Array }[] {
    const page = new DataView(this.page(RX_RING).buffer)
    const produced = Atomics.load(this.words(RX_RING), 2)
    const all = []
    for (; this.#rxSeen < produced; this.#rxSeen++) {
      const at = 64 + (this.#rxSeen % RING_SIZE) * 8
      const { flags, status } = NetifRxResponse.on(page, at)
      const raw = [...new Uint8Array(page.buffer, at, 8)]
      const buffer = this.page(FIRST_BUFFER + this.#rxSeen % RING_SIZE)
      all.push({ flags, status, raw, bytes: buffer.slice(0, Math.max(0, status)) })
    }
    Atomics.store(this.words(RX_RING), 3, produced + 1)
    return all
  }

  #control(): ControlDomain {
    const copy = (pieces: readonly GrantedPiece[], out: boolean): boolean[] =>
      pieces.map(({ ref, offset, bytes }) => {
        // References above this are not granted.
        if (ref > 1000 || offset + bytes.length > PAGE) return false
        const page = this.page(ref)
        if (out) page.set(bytes, offset)
        else bytes.set(page.subarray(offset, offset + bytes.length))
        return true
      })
    return {
      grants: {
        map: (_domid: unknown, refs: readonly GrantRef[]) => {
          if (refs.some((ref) => ref > 1000)) throw new XenError('map', 22, 'EINVAL')
          this.mappings++
          return {
            length: refs.length, page: (i: number) => this.page(refs[i]!),
            unmap: () => void this.mappings--,
          }
        },
        copyFrom: (_domid: unknown, pieces: readonly GrantedPiece[]) => copy(pieces, false),
        copyTo: (_domid: unknown, pieces: readonly GrantedPiece[]) => copy(pieces, true),
      },
      events: {
        bindInterdomain: (_domid: unknown, remote: number) => {
          if (remote > 50) throw new XenError('bind', 22, 'EINVAL')
          return asEvtchnPort(this.#nextPort++)
        },
        onEvent: (port: number, handler: () => void) => void this.handlers.set(port, handler),
        unbind: (port: number) => void this.handlers.delete(port),
        notify: () => void this.notifications++,
      },
      domid: asDomid(0),
    } as unknown as ControlDomain
  }
}
