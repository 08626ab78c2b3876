/**
 * xenstored's unix socket: gives programs of the control domain, such as xenstore-ls, a connection
 * each.
 */
import type { SocketStream } from '../node/unix-socket.ts'
import { StreamConnection } from '../xenstore/stream.ts'
import type { Xenstored } from '../xenstore/xenstored.ts'

/** Serves one client until it closes. */
export function serveStore(store: Xenstored, stream: SocketStream): void {
  const connection = new StreamConnection(store, stream)
  stream.onData((bytes) => connection.receive(bytes))
  stream.onDrain(() => connection.drained())
  stream.onClose(() => connection.close())
}
