/**
 * TAP devices: network devices of Linux whose wire is a file. Who may make them is the system's to
 * say; it takes /dev/net/tun and CAP_NET_ADMIN. Packets are frames behind a struct virtio_net_hdr
 * (linux/virtio_net.h, 10 bytes), in which checksums and segments are left to whoever takes them.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { addressOf, cLibrary, type CLibrary } from './c-library.ts'
import { wordsOf } from './files.ts'
import { unwatchFile, watchFile } from './ready-files.ts'

const CLONE = '/dev/net/tun'
// linux/if_tun.h, linux/if.h
const TUNSETIFF = 0x4004_54can
const TUNSETOFFLOAD = 0x4004_54d0n
const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
/** Checksums left to us, and TCP over IPv4 and IPv6 larger than a segment. */
const OFFLOADS = 0x7n
const IFREQ_BYTES = 40
const IFNAMSIZ = 16

const FRAME_BYTES = 65_536 + 256
/** Frames that are taken before others get their turn. */
const FRAMES_AT_ONCE = 128

/** A device of this name that is gone once it is closed; throws when there can be none. */
export function openTap(name: string, receive: (packet: Uint8Array) => void): Tap {
  const library = cLibrary()
  if (!library) throw new Error('TAP devices take a Node.js with node:ffi')
  let fd: number
  try {
    fd = openSync(CLONE, constants.O_RDWR | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Error(`${CLONE}: ${wordsOf(cause as NodeJS.ErrnoException)}`, { cause })
  }
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(name.slice(0, IFNAMSIZ - 1))
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFNAMSIZ)
  if (library.ioctl(fd, TUNSETIFF, addressOf(request)) !== 0) {
    closeSync(fd)
    throw new Error(`the system does not let us have a TAP device "${name}"`)
  }
  library.ioctl(fd, TUNSETOFFLOAD, OFFLOADS)
  const tap = new Tap(library, fd, receive)
  watchFile(library, fd, () => tap.drain())
  tap.drain()
  return tap
}

class Tap {
  readonly #library: CLibrary
  readonly #fd: number
  readonly #receive: (packet: Uint8Array) => void
  readonly #buffer = Buffer.alloc(FRAME_BYTES)
  #isDraining = false
  #isOpen = true

  constructor(library: CLibrary, fd: number, receive: (packet: Uint8Array) => void) {
    this.#library = library
    this.#fd = fd
    this.#receive = receive
  }

  /** Takes the frames that wait; when there are many, some of them later. */
  drain(): void {
    if (this.#isDraining) return
    for (let i = 0; i < FRAMES_AT_ONCE; i++) {
      if (!this.#isOpen) return
      const size = Number(this.#library.read(this.#fd, this.#buffer, BigInt(FRAME_BYTES)))
      if (size <= 0) return
      this.#receive(Uint8Array.from(this.#buffer.subarray(0, size)))
    }
    this.#isDraining = true
    setImmediate(() => {
      this.#isDraining = false
      this.drain()
    })
  }

  /** A packet that the device does not take is lost. */
  send(packet: Uint8Array): void {
    if (this.#isOpen) this.#library.write(this.#fd, packet, BigInt(packet.length))
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    unwatchFile(this.#fd)
    closeSync(this.#fd)
  }
}
