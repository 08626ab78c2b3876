/**
 * A connection between two processes, as far as the toolstack needs one: bytes in order, with back
 * pressure in both directions. Given from outside (src/node has the unix socket).
 */
export interface ByteStream {
  /** Sends; false asks to wait for `onDrain`. */
  write(bytes: Uint8Array): boolean
  /** Sends what was written, then closes. */
  end(): void
  pause(): void
  resume(): void
  onData(handler: (bytes: Uint8Array) => void): void
  onDrain(handler: () => void): void
  /** Called once, whoever closed it. */
  onClose(handler: () => void): void
}
