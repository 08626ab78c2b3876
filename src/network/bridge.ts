/**
 * A bridge of the host: a switch, and perhaps a router to the host's network beside it.
 */
import type { Log } from '../base/log.ts'
import type { Frame, MacAddress } from './frame.ts'
import type { Closable, HostNet } from './nat/host-net.ts'
import { type Ipv4Address, parseIpv4 } from './nat/ipv4.ts'
import { type Forward, Nat, type NatSettings } from './nat/nat.ts'
import { pcapngPacket, pcapngStart } from './pcapng.ts'
import { type PortOptions, Switch, type SwitchPort } from './switch.ts'
import { TftpServer } from './tftp.ts'
import type { Timers } from './timers.ts'

/** Frames are captured up to this length, as by tcpdump. */
const SNAP_LENGTH = 262_144

/** What a bridge needs of its host. */
export interface BridgeWorld {
  readonly timers: Timers
  readonly hostNet: HostNet
  readonly log: Log
  /** 32 random bits, not to be guessed. */
  random(): number
  /** A file for guests that boot over the network; without it there is no TFTP. */
  readonly bootFile?: ((name: string) => Promise<Uint8Array | undefined>) | undefined
  /** Milliseconds since 1970. */
  wallClockMs(): number
  /** Begins a file of captured frames; throws when it cannot be written. */
  openCapture(path: string): CaptureFile
}

/** A file that what is captured is appended to. */
export interface CaptureFile {
  append(bytes: Uint8Array): void
  close(): void
}

/** A guest's interface on a bridge, while it exists. */
export interface StationWish {
  readonly mac: MacAddress
  readonly address: Ipv4Address | undefined
  readonly forwards: readonly Forward[]
  /** A file for all frames that the interface sends and gets. */
  readonly capture?: string | undefined
}

export interface Station {
  /** Plugs in, as often as the guest connects. */
  attach(options: PortOptions, deliver: (frame: Frame) => void): SwitchPort
  /** The interface is gone, with all that was for it. */
  close(): void
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
  station({ mac, address, forwards, capture }: StationWish): Station {
    const nat = this.#nat
    const world = this.#world
    const file = capture === undefined ? undefined : world.openCapture(capture)
    file?.append(pcapngStart(SNAP_LENGTH))
    const mirror = file && ((bytes: Uint8Array): void =>
      file.append(pcapngPacket(bytes, world.wallClockMs(), SNAP_LENGTH)))
    if (address !== undefined) nat?.reserve(mac, address)
    const open: Closable[] = forwards.flatMap((forward) => nat?.forward(mac, forward, (error) =>
      world.log.warn(`port ${forward.hostPort} cannot be forwarded: ${error.message}`)) ?? [])
    return {
      attach: (options, deliver) => this.#switch.attach({ ...options, mirror }, deliver),
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
