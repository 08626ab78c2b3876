/**
 * Consoles at streams: at a socket that somebody has connected to, or a pseudo-terminal.
 */
import type { Channel } from '../../backends/channel.ts'
import { ConsoleBuffer } from '../../backends/console-buffer.ts'
import { CONSOLE_LIMIT } from '../../backends/console.ts'
import type { ConsoleEnd } from '../../backends/console-end.ts'
import type { ConsoleReader } from '../../backends/console-readers.ts'
import type { StoreAccess } from '../../xenstore/client.ts'
import type { ByteStream } from '../host/stream.ts'
import type { ToolstackHost } from './toolstack-host.ts'

/** Carries bytes both ways until either end is gone. A peer that does not read loses the oldest. */
export function join(channel: Channel, stream: ByteStream, over: () => void): void {
  const reader = readerAt(stream)
  carryInput(channel, stream)
  stream.onClose(() => {
    channel.detach(reader)
    over()
  })
  channel.attach(reader)
}

/** Puts a console at a pseudo-terminal, if there can be one, and says so in its nodes. It takes no
 * output from readers, for at its other end there may be nobody. */
export function putAtPty(
  console: ConsoleEnd, host: Pick<ToolstackHost, 'openPty'>, store: StoreAccess,
  nodes: string,
): void {
  const pty = host.openPty()
  if (!pty) return
  carryInput(console, pty)
  console.mirror(readerAt(pty))
  store.write(`${nodes}/tty`, pty.path)
}

function readerAt(stream: ByteStream): ConsoleReader {
  const waiting = new ConsoleBuffer(CONSOLE_LIMIT)
  let blocked = false
  const reader = {
    output: (bytes: Uint8Array): void => {
      if (blocked) waiting.push(bytes)
      else blocked = !stream.write(bytes)
    },
    closed: (): void => stream.end(),
  }
  stream.onDrain(() => {
    blocked = false
    if (waiting.size > 0) reader.output(waiting.takeAll())
  })
  return reader
}

function carryInput(console: ConsoleEnd, stream: ByteStream): void {
  stream.onData((bytes) => {
    if (console.write(bytes)) return
    stream.pause()
    console.whenRoom(() => stream.resume())
  })
}
