/**
 * A bridge of the host: a switch, and perhaps a router to the host's network beside it.
 */
import type { Log } from '../base/log.ts'
import { type CaptureWorld, startCapture } from './capture.ts'
import type { MacAddress } from './frame.ts'
import type { Closable, HostNet } from './nat/host-net.ts'
import { type Ipv4Address, parseIpv4 } from './nat/ipv4.ts'
import { Nat, type NatSettings } from './nat/nat.ts'
import type { Station, StationWish } from './station.ts'
import { type PortOptions, Switch } from './switch.ts'
import { TftpServer } from './tftp.ts'
import type { Timers } from './timers.ts'

/** What a bridge needs of its host. */
export interface BridgeWorld extends CaptureWorld {
  readonly timers: Timers
  readonly hostNet: HostNet
  readonly log: Log
  /** 32 random bits, not to be guessed. */
  random(): number
  /** A file for guests that boot over the network; without it there is no TFTP. */
  readonly bootFile?: ((name: string) => Promise<Uint8Array | undefined>) | undefined
}

export class Bridge {
  readonly #switch: Switch
  readonly #nat: Nat | undefined
  readonly #tftp: TftpServer | undefined
  readonly #world: BridgeWorld

  /** Without `settings` there is no way out of the bridge. */
  constructor(world: BridgeWorld, settings?: NatSettings) {
    this.#world = world
    this.#switch = new Switch(() => world.timers.now())
    if (!settings) return
    const port = this.#switch.attach({}, (frame) => this.#nat?.input(frame))
    const nat = this.#nat = new Nat(settings, {
      hostNet: world.hostNet, timers: world.timers, random: () => world.random(),
      send: (frame) => port.send(frame),
    })
    const { bootFile, timers } = world
    this.#tftp = bootFile && new TftpServer({
      timers, readFile: bootFile, serve: (at, service) => nat.serve(at, service),
      sendDatagram: (from, to, bytes) => nat.sendDatagram(from, to, bytes),
    })
  }

  /** Makes room for a guest's interface; throws when its capture cannot be written. */
  station({ mac, address, forwards, capture }: StationWish, place: PortOptions): Station {
    const nat = this.#nat
    const world = this.#world
    const file = capture === undefined ? undefined : startCapture(world, capture)
    const mirror = file && ((bytes: Uint8Array): void => file.take(bytes))
    if (address !== undefined) nat?.reserve(mac, address)
    const open: Closable[] = forwards.flatMap((forward) => nat?.forward(mac, forward, (error) =>
      world.log.warn(`port ${forward.hostPort} cannot be forwarded: ${error.message}`)) ?? [])
    return {
      attach: (options, deliver) => this.#switch.attach({ ...place, ...options, mirror }, deliver),
      close: () => {
        file?.close()
        for (const forward of open) forward.close()
        if (address !== undefined) nat?.reserve(mac, undefined)
        nat?.forget(mac)
      },
    }
  }

  close(): void {
    this.#tftp?.close()
    this.#nat?.close()
  }
}

function address(text: string): Ipv4Address {
  return parseIpv4(text) as Ipv4Address
}

/** The network that guests find without asking for one; its numbers are those of QEMU's. */
export const defaultNetwork: NatSettings = {
  mac: 0x5255_0a00_0202 as MacAddress,
  network: address('10.0.2.0'),
  mask: address('255.255.255.0'),
  gateway: address('10.0.2.2'),
  resolver: address('10.0.2.3'),
  firstLease: address('10.0.2.15'),
  lastLease: address('10.0.2.254'),
  mtu: 1500,
}
