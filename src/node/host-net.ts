/**
 * The host's network for the NAT: sockets of node:net and node:dgram.
 *
 * The interfaces are those of src/network/nat/host-net.ts, said again here by their shape.
 */
import { createSocket } from 'node:dgram'
import { getServers } from 'node:dns'
import { connect, createServer, isIPv4, type Socket } from 'node:net'

interface Address {
  readonly address: string
  readonly port: number
}

interface StreamEvents {
  connected(): void
  data(bytes: Uint8Array): void
  ended(): void
  written(count: number): void
  closed(broken: boolean): void
}

/** A stream over a socket. Events come in later turns of the event loop. */
class SocketStream {
  readonly #socket: Socket
  #events: StreamEvents | undefined

  constructor(socket: Socket) {
    this.#socket = socket
  }

  start(events: StreamEvents): void {
    this.#events = events
    const socket = this.#socket
    // Small pieces go at once: whoever sent them has waited as long as it wanted.
    socket.setNoDelay(true)
    socket.on('connect', () => events.connected())
    socket.on('data', (bytes) => events.data(bytes as Uint8Array))
    socket.on('end', () => events.ended())
    socket.on('error', () => {})
    socket.on('close', (broken) => events.closed(broken || !socket.readableEnded))
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.writable) return
    // What is written again and again is the frame that it came in, so it is not copied.
    this.#socket.write(bytes, (error) => {
      if (!error) this.#events?.written(bytes.length)
    })
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }
}

/** The system's sockets, with the rights of the user. */
export const hostNet = {
  resolver(): Address | undefined {
    const address = getServers().find(isIPv4)
    return address === undefined ? undefined : { address, port: 53 }
  },

  connect(to: Address, events: StreamEvents): SocketStream {
    const stream = new SocketStream(
      connect({ host: to.address, port: to.port, allowHalfOpen: true }))
    stream.start(events)
    return stream
  },

  listen(
    at: Address, accept: (stream: SocketStream) => StreamEvents, failed: (error: Error) => void,
  ): { close(): void } {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const stream = new SocketStream(socket)
      stream.start(accept(stream))
    })
    server.on('error', failed)
    server.listen(at.port, at.address)
    return { close: () => void server.close() }
  },

  openUdp(
    at: Address | undefined, received: (bytes: Uint8Array, from: Address) => void,
    failed: (error: Error) => void,
  ): { send(bytes: Uint8Array, to: Address): void, close(): void } {
    const socket = createSocket('udp4')
    let open = true
    socket.on('message', (bytes, from) => {
      if (open) received(bytes, from)
    })
    socket.on('error', (error) => {
      if (open) failed(error)
    })
    if (at) socket.bind(at.port, at.address)
    return {
      // A datagram that the system refuses is one that was lost.
      send: (bytes, to) => {
        if (open) socket.send(bytes, to.port, to.address, () => {})
      },
      close: () => {
        if (open) socket.close()
        open = false
      },
    }
  },
}
