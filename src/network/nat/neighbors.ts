/**
 * Who on the guests' network has which address: ARP (RFC 826), asked and answered.
 *
 * An address is learned from ARP and from the packets that a guest sends; a guest may lie, and then
 * gets what it asked for. Frames for one who is not known yet wait for an answer, a few of them.
 */
import {
  BROADCAST, ethernet, ETHERNET_HEADER, ETHERTYPE_ARP, type MacAddress, macAt, putMac, putU16,
  putU32, u16At, u32At,
} from '../frame.ts'
import type { Timers } from '../timers.ts'
import { type Ipv4Address } from './ipv4.ts'

const ARP_LENGTH = 28
const HARDWARE_ETHERNET = 1
const PROTOCOL_IPV4 = 0x0800
const REQUEST = 1
const REPLY = 2

const NEIGHBORS_KEPT = 1024
const WAITING_KEPT = 16
const ANSWER_MS = 1000
const ATTEMPTS = 3

/** What the neighbors' owner is and does. */
export interface NeighborsOwner {
  readonly mac: MacAddress
  readonly address: Ipv4Address
  /** Whether an address is one of ours, for which we answer. */
  isOurs(address: Ipv4Address): boolean
  isLocal(address: Ipv4Address): boolean
  transmit(bytes: Uint8Array): void
}

type Work = (mac: MacAddress) => void

export class Neighbors {
  readonly #owner: NeighborsOwner
  readonly #timers: Timers
  readonly #known = new Map<Ipv4Address, MacAddress>()
  readonly #waiting = new Map<Ipv4Address, Work[]>()

  constructor(owner: NeighborsOwner, timers: Timers) {
    this.#owner = owner
    this.#timers = timers
  }

  /** Notes where an address was seen. */
  learn(address: Ipv4Address, mac: MacAddress): void {
    if (!this.#owner.isLocal(address) || this.#owner.isOurs(address)) return
    if (this.#known.get(address) === mac) return
    if (this.#known.size >= NEIGHBORS_KEPT) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest)
        break
      }
    }
    this.#known.set(address, mac)
    const waiting = this.#waiting.get(address)
    this.#waiting.delete(address)
    for (const work of waiting ?? []) work(mac)
  }

  /** Forgets all addresses of one who left; which they were. */
  forget(mac: MacAddress): Ipv4Address[] {
    const gone = [...this.#known].filter(([, other]) => other === mac).map(([address]) => address)
    for (const address of gone) this.#known.delete(address)
    return gone
  }

  /** Runs `work` with an address's place, now or when it has been found. */
  find(address: Ipv4Address, work: Work): void {
    const mac = this.#known.get(address)
    if (mac !== undefined) return work(mac)
    const waiting = this.#waiting.get(address)
    if (waiting) {
      if (waiting.length < WAITING_KEPT) waiting.push(work)
      return
    }
    if (this.#waiting.size >= WAITING_KEPT || !this.#owner.isLocal(address)) return
    this.#waiting.set(address, [work])
    this.#ask(address, ATTEMPTS)
  }

  #ask(address: Ipv4Address, attempts: number): void {
    if (!this.#waiting.has(address)) return
    if (attempts === 0) {
      this.#waiting.delete(address)
      return
    }
    this.#owner.transmit(this.#packet(REQUEST, BROADCAST, address))
    this.#timers.after(ANSWER_MS, () => this.#ask(address, attempts - 1))
  }

  /** Takes an ARP packet. */
  input(bytes: Uint8Array): void {
    const at = ETHERNET_HEADER
    if (bytes.length < at + ARP_LENGTH) return
    if (u16At(bytes, at) !== HARDWARE_ETHERNET || u16At(bytes, at + 2) !== PROTOCOL_IPV4) return
    if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) return
    const sender = macAt(bytes, at + 8)
    const from = u32At(bytes, at + 14) as Ipv4Address
    const target = u32At(bytes, at + 24) as Ipv4Address
    this.learn(from, sender)
    if (u16At(bytes, at + 6) !== REQUEST || !this.#owner.isOurs(target)) return
    this.#owner.transmit(this.#packet(REPLY, sender, from, target))
  }

  #packet(
    operation: number, to: MacAddress, address: Ipv4Address, own = this.#owner.address,
  ): Uint8Array {
    const payload = new Uint8Array(ARP_LENGTH)
    putU16(payload, 0, HARDWARE_ETHERNET)
    putU16(payload, 2, PROTOCOL_IPV4)
    payload.set([6, 4], 4)
    putU16(payload, 6, operation)
    putMac(payload, 8, this.#owner.mac)
    putU32(payload, 14, own)
    putMac(payload, 18, operation === REQUEST ? 0 as MacAddress : to)
    putU32(payload, 24, address)
    return ethernet(to, this.#owner.mac, ETHERTYPE_ARP, payload)
  }
}
