/**
 * What the command lines that control the host process share: the way to it, and how they end.
 */
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Bug } from '../base/assert.ts'
import { connectHost, connectOrStart, HostProcessError } from '../node/host-process.ts'
import { PrivateFolderError } from '../node/private-folder.ts'
import type { SocketStream } from '../node/unix-socket.ts'
import { HostGone, RemoteLibxl } from '../toolstack/host/client.ts'

/** By then a command has loaded what it uses, or has ended. */
const FLUSH_MS = 1000
const hostProgram = fileURLToPath(new URL('host.ts', import.meta.url))

let remote: Promise<RemoteLibxl> | undefined

async function connectAgain(): Promise<SocketStream> {
  const stream = await connectHost(process.env)
  if (!stream) throw new HostGone()
  return stream
}

async function connectFirst(): Promise<RemoteLibxl> {
  let first: SocketStream | undefined = await connectOrStart(process.env, hostProgram)
  return RemoteLibxl.open(async () => {
    const stream = first ?? await connectAgain()
    first = undefined
    return stream
  })
}

/** The machine in the host process, which is started when there is none. */
export function openRemote(): Promise<RemoteLibxl> {
  return remote ??= connectFirst()
}

/** Waits until what was written has left this process. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((done) => stream.write('', () => done()))
}

/** Runs a command line and `finish`, and ends the process with its exit code. */
export async function runTool(
  name: string, run: (words: readonly string[]) => Promise<number>,
  finish: () => Promise<void> = async () => {},
): Promise<never> {
  // Whoever reads our output may have seen enough.
  process.stdout.on('error', () => process.exit(0))
  // One that stays, with a console, is often ended by a signal, when Node keeps nothing.
  setTimeout(flushCompileCache, FLUSH_MS).unref()
  let code = 1
  try {
    code = await run(process.argv.slice(2))
  } catch (error) {
    if (error instanceof Bug) throw error
    const expected = error instanceof HostProcessError || error instanceof PrivateFolderError
    const { message, stack } = error as Error
    process.stderr.write(`${name}: ${expected ? message : stack ?? message}\n`)
  } finally {
    await finish()
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(code)
}
