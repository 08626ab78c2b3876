/**
 * A PV network interface's back-end, between a front-end's rings and a port of a bridge.
 *
 * Obeys xen/include/public/io/netif.h. Offered: scatter-gather, TCP segmentation and checksum
 * offload both ways, multicast control, split event channels, several queues. Left out: the control
 * ring with its hashes, static grants, XDP headroom, flipping of pages.
 */
import { asEvtchnPort, asGrantRef, type EvtchnPort } from '../../abi/numbers.ts'
import type { ControlDomain, Mapping } from '../../dom0/interfaces.ts'
import { ipPlaces, sumWords } from '../../network/checksum.ts'
import type { Frame, MacAddress } from '../../network/frame.ts'
import type { SwitchPort } from '../../network/switch.ts'
import { TokenBucket } from '../../network/token-bucket.ts'
import type { StoreAccess } from '../../xenstore/client.ts'
import { BackendError, type DeviceNodes, numberAt } from '../xenbus.ts'
import { type ReceiveFeatures, Receiver } from './receive.ts'
import { Transmitter, type TransmitHost } from './transmit.ts'

const QUEUES_OFFERED = 4
/** How long a guest does not hear that a few small packets were sent, unless more is to be said. */
const SENT_DELAY_MS = 1

/** What went through an interface, from the back-end's side: to the guest is sent, `tx`. */
export interface NetCounters {
  readonly rxBytes: number
  readonly rxPackets: number
  readonly rxErrors: number
  readonly rxDropped: number
  readonly txBytes: number
  readonly txPackets: number
  readonly txErrors: number
  readonly txDropped: number
}

/** What a device needs of its host. */
export interface NetDeviceHost {
  readonly control: ControlDomain
  /** Milliseconds, monotonic. */
  now(): number
  /** Runs `work` in a later turn, after others had theirs. */
  schedule(work: () => void): void
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
}

/** Writes what the back-end offers. */
export function publishFeatures(store: StoreAccess, backend: string): void {
  const features: readonly [string, string][] = [
    ['feature-sg', '1'], ['feature-gso-tcpv4', '1'], ['feature-gso-tcpv6', '1'],
    ['feature-ipv6-csum-offload', '1'], ['feature-rx-copy', '1'], ['feature-rx-flip', '0'],
    ['feature-multicast-control', '1'], ['feature-dynamic-multicast-control', '1'],
    ['feature-split-event-channels', '1'], ['multi-queue-max-queues', `${QUEUES_OFFERED}`],
  ]
  for (const [name, value] of features) store.write(`${backend}/${name}`, value)
}

/** One pair of rings with its event channels. */
class Queue {
  readonly transmitter: Transmitter
  readonly receiver: Receiver
  readonly #device: NetDevice
  readonly #rings: Mapping
  readonly #transmitPort: EvtchnPort
  readonly #receivePort: EvtchnPort
  #serving = false
  #filling = false
  #open = true
  #cancelWait: (() => void) | undefined
  #cancelTell: (() => void) | undefined

  constructor(
    device: NetDevice, rings: Mapping, ports: { readonly tx: EvtchnPort, readonly rx: EvtchnPort },
    features: ReceiveFeatures, bucket: TokenBucket | undefined,
  ) {
    this.#device = device
    this.#rings = rings
    this.#transmitPort = ports.tx
    this.#receivePort = ports.rx
    const { grants, events } = device.host.control
    const { domid } = device.nodes
    const host: TransmitHost = {
      copyFrom: (pieces) => grants.copyFrom(domid, pieces),
      send: (frame) => device.send(frame),
      group: (mac, wanted) => device.setGroup(mac, wanted),
      now: () => device.host.now(),
    }
    this.transmitter = new Transmitter(rings.page(0), host, bucket)
    this.receiver = new Receiver(rings.page(1), features,
      (pieces) => grants.copyTo(domid, pieces))
    if (ports.tx === ports.rx) {
      events.onEvent(ports.tx, () => {
        this.serve()
        this.fill()
      })
    } else {
      events.onEvent(ports.tx, () => this.serve())
      events.onEvent(ports.rx, () => this.fill())
    }
  }

  /** Takes what the guest sends; goes on later when there is much of it. */
  serve(): void {
    if (!this.#open || this.#cancelWait || this.#serving) return
    this.#serving = true
    const served = this.transmitter.service()
    this.#serving = false
    if (!this.#open) return
    this.#tellSent()
    if (this.transmitter.ring.isBroken) return this.#device.fail('impossible transmit request')
    if (served === 'more') this.#device.host.schedule(() => this.serve())
    if (typeof served !== 'number') return
    this.#cancelWait = this.#device.host.delay(served, () => {
      this.#cancelWait = undefined
      this.serve()
    })
  }

  /** Answers often come soon, and an interrupt for both costs the guest half as much as two. */
  #tellSent(): void {
    if (!this.transmitter.mayWait) return this.#publish(this.transmitter, this.#transmitPort)
    if (this.transmitter.ring.hiddenCount === 0) return
    this.#cancelTell ??= this.#device.host.delay(SENT_DELAY_MS, () => {
      this.#cancelTell = undefined
      if (this.#open) this.#publish(this.transmitter, this.#transmitPort)
    })
  }

  /** Gives the guest a frame, together with others that come at the same time; false when it does
   * not find room. */
  push(frame: Frame): boolean {
    const isTaken = this.receiver.push(frame)
    if (this.#filling) return isTaken
    this.#filling = true
    queueMicrotask(() => {
      this.#filling = false
      this.fill()
    })
    return isTaken
  }

  fill(): void {
    if (!this.#open) return
    this.receiver.service()
    if (this.receiver.ring.hiddenCount > 0) this.#publish(this.transmitter, this.#transmitPort)
    this.#publish(this.receiver.ring, this.#receivePort)
    if (this.receiver.ring.isBroken) this.#device.fail('impossible receive request')
  }

  #publish(responses: { publish(): boolean }, port: EvtchnPort): void {
    if (responses.publish()) this.#device.host.control.events.notify(port)
  }

  close(): void {
    this.#open = false
    this.#cancelWait?.()
    this.#cancelTell?.()
    const { events } = this.#device.host.control
    events.unbind(this.#transmitPort)
    if (this.#receivePort !== this.#transmitPort) events.unbind(this.#receivePort)
    this.#rings.unmap()
  }
}

export class NetDevice {
  readonly nodes: DeviceNodes
  readonly host: NetDeviceHost
  readonly #attach: (deliver: (frame: Frame) => void) => SwitchPort
  readonly #failed: (why: string) => void
  readonly #rate: { readonly bytes: number, readonly intervalUs: number } | undefined
  readonly #counters = {
    rxBytes: 0, rxPackets: 0, rxErrors: 0, rxDropped: 0,
    txBytes: 0, txPackets: 0, txErrors: 0, txDropped: 0,
  }

  #port: SwitchPort | undefined
  #queues: Queue[] = []

  /** `attach` plugs into the bridge; `failed` hears of a front-end that broke its rings. */
  constructor(
    nodes: DeviceNodes, host: NetDeviceHost,
    attach: (deliver: (frame: Frame) => void) => SwitchPort, failed: (why: string) => void,
  ) {
    this.nodes = nodes
    this.host = host
    this.#attach = attach
    this.#failed = failed
    this.#rate = rateOf(nodes.store.read(`${nodes.backend}/rate`))
  }

  /** Takes a frame of the guest. */
  send(frame: Frame): void {
    this.#counters.rxPackets++
    this.#counters.rxBytes += frame.bytes.length
    this.#port?.send(frame)
  }

  get counters(): NetCounters {
    return { ...this.#counters }
  }

  connect(): void {
    const { store, frontend } = this.nodes
    const flag = (name: string): boolean => numberAt(store, `${frontend}/${name}`) === 1
    if (!flag('request-rx-copy')) throw new BackendError('the front-end does not take copies')
    const wanted = numberAt(store, `${frontend}/multi-queue-num-queues`) ?? 1
    if (wanted < 1 || wanted > QUEUES_OFFERED) {
      throw new BackendError(`the front-end wants ${wanted} queues, ${QUEUES_OFFERED} are offered`)
    }
    const features: ReceiveFeatures = {
      scatter: flag('feature-sg'), gsoTcpv4: flag('feature-gso-tcpv4'),
      gsoTcpv6: flag('feature-gso-tcpv6'), csumIpv4: !flag('feature-no-csum-offload'),
      csumIpv6: flag('feature-ipv6-csum-offload'),
    }
    const rate = this.#rate
    const bucket = rate && new TokenBucket(rate.bytes, rate.intervalUs / 1000, this.host.now())
    const nested = wanted > 1
    const port = this.#port = this.#attach((frame) => this.#deliver(frame))
    if (flag('request-multicast-control')) port.controlMulticast()
    for (let i = 0; i < wanted; i++) {
      const path = nested ? `${frontend}/queue-${i}` : frontend
      this.#queues.push(this.#connectQueue(path, features, bucket))
    }
    // What was put into the rings before anybody listened.
    for (const queue of this.#queues) {
      queue.serve()
      queue.fill()
    }
  }

  #connectQueue(
    path: string, features: ReceiveFeatures, bucket: TokenBucket | undefined,
  ): Queue {
    const { store, domid } = this.nodes
    const { grants, events } = this.host.control
    const must = (name: string): number => {
      const value = numberAt(store, `${path}/${name}`)
      if (value === undefined) throw new BackendError(`${path}/${name} is not a number`)
      return value
    }
    const split = store.read(`${path}/event-channel-tx`) !== undefined
    const [tx, rx] = split
      ? [must('event-channel-tx'), must('event-channel-rx')]
      : [must('event-channel'), undefined]
    const refs = [asGrantRef(must('tx-ring-ref')), asGrantRef(must('rx-ring-ref'))]
    const rings = grants.map(domid, refs, true)
    const bound: EvtchnPort[] = []
    try {
      for (const remote of rx === undefined ? [tx] : [tx, rx]) {
        bound.push(events.bindInterdomain(domid, asEvtchnPort(remote)))
      }
    } catch (error) {
      for (const port of bound) events.unbind(port)
      rings.unmap()
      throw error
    }
    const [first, second] = bound
    const ports = { tx: first!, rx: second ?? first! }
    return new Queue(this, rings, ports, features, bucket)
  }

  setGroup(mac: MacAddress, wanted: boolean): boolean {
    if (wanted) return this.#port?.addGroup(mac) ?? false
    this.#port?.removeGroup(mac)
    return true
  }

  /** The front-end's rings make no sense: it is served no longer. */
  fail(why: string): void {
    if (this.#queues.length === 0) return
    this.disconnect()
    this.#failed(why)
  }

  disconnect(): void {
    const queues = this.#queues
    this.#queues = []
    for (const queue of queues) queue.close()
    this.#port?.close()
    this.#port = undefined
  }

  #deliver(frame: Frame): void {
    const queues = this.#queues
    const queue = queues.length > 1 ? queues[flowOf(frame.bytes) % queues.length] : queues[0]
    if (!queue) return
    if (!queue.push(frame)) {
      this.#counters.txDropped++
      return
    }
    this.#counters.txPackets++
    this.#counters.txBytes += frame.bytes.length
  }
}

/** The same number for all frames of a connection, so that they stay in order. */
function flowOf(bytes: Uint8Array): number {
  const places = ipPlaces(bytes)
  if (!places) return 0
  const { ip, transport, version } = places
  const addresses = version === 4 ? ip + 12 : ip + 8
  return sumWords(bytes, addresses, addresses + (version === 4 ? 8 : 32),
    sumWords(bytes, transport, Math.min(transport + 4, bytes.length)))
}

/** "BYTES,MICROSECONDS", as libxl writes a vif's rate; none when there is no limit. */
function rateOf(text: string | undefined): { bytes: number, intervalUs: number } | undefined {
  const match = /^(\d{1,15}),(\d{1,10})$/.exec(text ?? '')
  const [bytes, intervalUs] = [Number(match?.[1]), Number(match?.[2])]
  return bytes > 0 && intervalUs > 0 && bytes < 0xffff_ffff ? { bytes, intervalUs } : undefined
}
