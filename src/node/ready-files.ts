/**
 * Files that Node has no way to wait for: that one may be ready is told by SIGIO (fcntl(2),
 * O_ASYNC), which arrives in the event loop like any signal.
 */
import { constants } from 'node:fs'
import type { CLibrary } from './c-library.ts'

// asm-generic/fcntl.h
const F_SETFL = 4
const F_SETOWN = 8
const O_ASYNC = 0x2000

const handlers = new Map<number, () => void>()
let isListening = false

/** Calls back whenever `fd` may have become ready to be read from or written to. It does not block
 * from now on. */
export function watchFile(c: CLibrary, fd: number, handler: () => void): void {
  if (!isListening) {
    isListening = true
    // For ever: without anybody who listens, the signal would end the process.
    process.on('SIGIO', () => {
      for (const ready of handlers.values()) ready()
    })
  }
  handlers.set(fd, handler)
  c.fcntl(fd, F_SETOWN, BigInt(process.pid))
  c.fcntl(fd, F_SETFL, BigInt(constants.O_NONBLOCK | O_ASYNC))
}

/** To be called before the file is closed. */
export function unwatchFile(fd: number): void {
  handlers.delete(fd)
}
