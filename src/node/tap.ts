/**
 * TAP devices: network devices of Linux whose wire is a file. Who may make them is the system's to
 * say; it takes /dev/net/tun and CAP_NET_ADMIN. Packets are frames behind a struct virtio_net_hdr
 * (linux/virtio_net.h, 10 bytes), in which checksums and segments are left to whoever takes them.
 *
 * Node has neither ioctl nor a way to wait for such a file, but node:ffi to call the C library
 * with; that frames wait is told by SIGIO, which arrives in the event loop like any signal.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { wordsOf } from './files.ts'

const CLONE = '/dev/net/tun'
// linux/if_tun.h, linux/if.h, asm-generic/fcntl.h
const TUNSETIFF = 0x4004_54can
const TUNSETOFFLOAD = 0x4004_54d0n
const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
/** Checksums left to us, and TCP over IPv4 and IPv6 larger than a segment. */
const OFFLOADS = 0x7n
const IFREQ_BYTES = 40
const IFNAMSIZ = 16
const F_SETFL = 4
const F_SETOWN = 8
const O_ASYNC = 0x2000n

const FRAME_BYTES = 65_536 + 256
/** Frames that are taken before others get their turn. */
const FRAMES_AT_ONCE = 128

type Library = ReturnType<typeof load>

let library: Library | undefined
const open = new Set<Tap>()

/** A device of this name that is gone once it is closed; throws when there can be none. */
export function openTap(name: string, receive: (packet: Uint8Array) => void): Tap {
  library ??= load()
  let fd: number
  try {
    fd = openSync(CLONE, constants.O_RDWR | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Error(`${CLONE}: ${wordsOf(cause as NodeJS.ErrnoException)}`, { cause })
  }
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(name.slice(0, IFNAMSIZ - 1))
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFNAMSIZ)
  if (library.ioctl(fd, TUNSETIFF, library.addressOf(request)) !== 0) {
    closeSync(fd)
    throw new Error(`the system does not let us have a TAP device "${name}"`)
  }
  library.ioctl(fd, TUNSETOFFLOAD, OFFLOADS)
  if (open.size === 0 && process.listenerCount('SIGIO', drainAll) === 0) {
    // For ever: without anybody who listens, the signal would end the process.
    process.on('SIGIO', drainAll)
  }
  library.fcntl(fd, F_SETOWN, BigInt(process.pid))
  library.fcntl(fd, F_SETFL, BigInt(constants.O_NONBLOCK) | O_ASYNC)
  const tap = new Tap(library, fd, receive)
  open.add(tap)
  tap.drain()
  return tap
}

function load() {
  const ffi = process.getBuiltinModule('node:ffi')
  // Older releases know nothing of it, whatever the types say.
  if (ffi === undefined) throw new Error('TAP devices take a Node.js with node:ffi')
  const { functions } = ffi.dlopen(null, {
    ioctl: { return: 'int32', arguments: ['int32', 'uint64', 'uint64'] },
    fcntl: { return: 'int32', arguments: ['int32', 'int32', 'int64'] },
    read: { return: 'int64', arguments: ['int32', 'buffer', 'uint64'] },
    write: { return: 'int64', arguments: ['int32', 'buffer', 'uint64'] },
  })
  const addressOf = (bytes: Uint8Array): bigint => ffi.getRawPointer(bytes)
  return { ...functions, addressOf }
}

function drainAll(): void {
  for (const tap of open) tap.drain()
}

class Tap {
  readonly #library: Library
  readonly #fd: number
  readonly #receive: (packet: Uint8Array) => void
  readonly #buffer = Buffer.alloc(FRAME_BYTES)
  #isDraining = false

  constructor(library: Library, fd: number, receive: (packet: Uint8Array) => void) {
    this.#library = library
    this.#fd = fd
    this.#receive = receive
  }

  /** Takes the frames that wait; when there are many, some of them later. */
  drain(): void {
    if (this.#isDraining) return
    for (let i = 0; i < FRAMES_AT_ONCE; i++) {
      if (!open.has(this)) return
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
    if (open.has(this)) this.#library.write(this.#fd, packet, BigInt(packet.length))
  }

  close(): void {
    if (open.delete(this)) closeSync(this.#fd)
  }
}
