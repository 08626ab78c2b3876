/**
 * The host's own network as the NAT uses it: sockets of an ordinary user.
 *
 * The interface is injected; src/node has one over the system's sockets.
 */
/** An address of the host's network, as the host writes it, and a port. */
export interface HostAddress {
  readonly address: string
  readonly port: number
}

/** What a stream tells; nothing comes after `closed`. */
export interface HostStreamEvents {
  /** An outgoing stream is there. */
  connected(): void
  data(bytes: Uint8Array): void
  /** The other side sends nothing more. */
  ended(): void
  /** `count` bytes that were written have left us. */
  written(count: number): void
  /** It is over; `broken` unless both sides had ended. */
  closed(broken: boolean): void
}

/** A TCP stream. Both directions end on their own. */
export interface HostStream {
  write(bytes: Uint8Array): void
  end(): void
  destroy(): void
  pause(): void
  resume(): void
}

export interface HostUdp {
  send(bytes: Uint8Array, to: HostAddress): void
  close(): void
}

export interface Closable {
  close(): void
}

export interface HostNet {
  /** Where names are resolved; asked anew for each flow. */
  resolver(): HostAddress | undefined
  connect(to: HostAddress, events: HostStreamEvents): HostStream
  /**
   * Takes connections at `at`; each gets the events that `accept` makes for it, and is paused. Says
   * `failed` when the address cannot be had.
   */
  listen(
    at: HostAddress, accept: (stream: HostStream) => HostStreamEvents,
    failed: (error: Error) => void,
  ): Closable
  /** A UDP socket, at an address of its own unless `at` says which. */
  openUdp(
    at: HostAddress | undefined, received: (bytes: Uint8Array, from: HostAddress) => void,
    failed: (error: Error) => void,
  ): HostUdp
}
