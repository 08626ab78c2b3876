/**
 * The host's end of bench/network/guest/net.c: a server on the loopback that takes, gives and
 * echoes bytes.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

const WISH_BYTES = 9
const CHUNK = new Uint8Array(1 << 18)

function serve(socket: Socket): void {
  let [what, left] = ['', 0]
  const give = (): void => {
    while (left > 0) {
      const part = CHUNK.subarray(0, Math.min(left, CHUNK.length))
      left -= part.length
      if (!socket.write(part)) return void socket.once('drain', give)
    }
    socket.write(what)
  }
  socket.setNoDelay(true).on('error', () => {}).on('data', (bytes: Buffer) => {
    let rest = bytes
    if (what === '') {
      what = String.fromCharCode(bytes[0]!)
      left = Number(bytes.readBigUInt64LE(1))
      rest = bytes.subarray(WISH_BYTES)
      if (what === 'r') return give()
    }
    left -= rest.length
    if (what === 'e' && rest.length > 0) socket.write(rest)
    if (what === 's' && left === 0) socket.write(what)
  })
}

/** A server, and its port. */
export async function startHostEnd(): Promise<{ readonly server: Server, readonly port: number }> {
  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}
