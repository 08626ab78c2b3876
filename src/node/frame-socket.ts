/**
 * Unix sockets for streams of frames: a place in a folder of our own, where one program connects,
 * and may connect again.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SocketStream, UnixListener } from './unix-socket.ts'

/** What the other end does not take in time is lost beyond this. */
const WAITING_BYTES = 1024 * 1024

/** Listens at a path that ends in `name`; `accept` makes a reader for each stream, which answers
 * false for bytes that make no sense. */
export async function listenForStream(
  name: string, accept: () => (bytes: Uint8Array) => boolean,
): Promise<{
  readonly path: string
  readonly connected: Promise<void>
  write(bytes: Uint8Array): void
  close(): void
}> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-net-'))
  let current: SocketStream | undefined
  let isConnected = (): void => {}
  const connected = new Promise<void>((resolve) => (isConnected = resolve))
  const listener = await UnixListener.listen(join(folder, name), (stream) => {
    current?.end()
    current = stream
    const take = accept()
    stream.onData((bytes) => {
      if (stream === current && !take(bytes)) stream.end()
    })
    stream.onClose(() => {
      if (stream === current) current = undefined
    })
    isConnected()
  })
  return {
    path: listener.path, connected,
    write: (bytes) => {
      if (current && current.waitingBytes <= WAITING_BYTES) current.write(bytes)
    },
    close: () => {
      current?.end()
      current = undefined
      listener.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
