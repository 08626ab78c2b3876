/**
 * Pseudo-terminals, whose other ends have names in the file system (pty(7)). They are raw until
 * whoever opens one says otherwise, as xenconsoled's are.
 *
 * What is written waits for a reader, who may never come: nothing here blocks.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { addressOf, cLibrary, type CLibrary } from './c-library.ts'
import { unwatchFile, watchFile } from './ready-files.ts'

const MULTIPLEXER = '/dev/ptmx'
// asm-generic/ioctls.h
const TCGETS = 0x5401n
const TCSETS = 0x5402n
const TIOCSPTLCK = 0x4004_5431n
const TIOCGPTN = 0x8004_5430n
// asm-generic/termbits.h: struct termios begins with the flags of input, output, control and lines.
const TERMIOS_BYTES = 64
const OUTPUT_FLAGS_AT = 4
const LOCAL_FLAGS_AT = 12

const READ_BYTES = 4096
/** What is read before others get their turn. */
const READS_AT_ONCE = 16

/** A pseudo-terminal; undefined when there can be none. */
export function openPty(): Pty | undefined {
  const c = cLibrary()
  if (!c) return undefined
  const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY
  const opened: number[] = []
  const open = (path: string): number => {
    opened.push(openSync(path, flags))
    return opened.at(-1)!
  }
  try {
    const fd = open(MULTIPLEXER)
    const word = Buffer.alloc(4)
    if (c.ioctl(fd, TIOCSPTLCK, addressOf(word)) < 0) throw new Error('it stays locked')
    if (c.ioctl(fd, TIOCGPTN, addressOf(word)) < 0) throw new Error('it has no number')
    const path = `/dev/pts/${word.readUInt32LE()}`
    // While nobody has it open, this end would be at its end.
    const other = open(path)
    makeRaw(c, fd)
    return new Pty(c, fd, other, path)
  } catch {
    for (const fd of opened) closeSync(fd)
    return undefined
  }
}

function makeRaw(c: CLibrary, fd: number): void {
  const termios = Buffer.alloc(TERMIOS_BYTES)
  c.ioctl(fd, TCGETS, addressOf(termios))
  termios.writeUInt32LE(0, 0)
  termios.writeUInt32LE(0, OUTPUT_FLAGS_AT)
  termios.writeUInt32LE(0, LOCAL_FLAGS_AT)
  c.ioctl(fd, TCSETS, addressOf(termios))
}

/** Our end, a stream like a socket's. */
class Pty {
  readonly path: string
  readonly #c: CLibrary
  readonly #fd: number
  readonly #other: number
  readonly #buffer = Buffer.alloc(READ_BYTES)
  readonly #unsent: Uint8Array[] = []
  #isOpen = true
  #isPaused = false
  #isReading = false
  #receive: (bytes: Uint8Array) => void = () => {}
  #drained: () => void = () => {}
  #closed: () => void = () => {}

  constructor(c: CLibrary, fd: number, other: number, path: string) {
    this.#c = c
    this.#fd = fd
    this.#other = other
    this.path = path
    watchFile(c, fd, () => this.#ready())
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#isOpen) return true
    this.#unsent.push(bytes)
    return this.#unsent.length > 1 ? false : this.#send()
  }

  /** What nobody has read by now is lost, as when a line is cut. */
  end(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    unwatchFile(this.#fd)
    closeSync(this.#other)
    closeSync(this.#fd)
    this.#closed()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#readSoon()
  }

  onData(handler: (bytes: Uint8Array) => void): void {
    this.#receive = handler
    this.#readSoon()
  }

  onDrain(handler: () => void): void {
    this.#drained = handler
  }

  onClose(handler: () => void): void {
    this.#closed = handler
  }

  #ready(): void {
    if (this.#unsent.length > 0 && this.#send()) this.#drained()
    this.#read()
  }

  /** Sends what waits; whether that was all. */
  #send(): boolean {
    let isRefused = false
    for (let first = this.#unsent[0]; first; first = this.#unsent[0]) {
      const sent = Number(this.#c.write(this.#fd, first, BigInt(first.length)))
      if (sent === first.length) this.#unsent.shift()
      else if (sent > 0) this.#unsent[0] = first.subarray(sent)
      else if (isRefused) return false
      // Of what was read before the system had noted that we wait, no signal tells.
      isRefused = sent <= 0
    }
    return true
  }

  #read(): void {
    if (this.#isReading) return
    for (let i = 0; i < READS_AT_ONCE; i++) {
      if (!this.#isOpen || this.#isPaused) return
      const size = Number(this.#c.read(this.#fd, this.#buffer, BigInt(READ_BYTES)))
      if (size <= 0) return
      this.#receive(Uint8Array.from(this.#buffer.subarray(0, size)))
    }
    this.#readSoon()
  }

  #readSoon(): void {
    if (this.#isReading) return
    this.#isReading = true
    setImmediate(() => {
      this.#isReading = false
      this.#read()
    })
  }
}
