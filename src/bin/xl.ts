/**
 * xl: the command line, with this process's streams, files and the way to the host process.
 */
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
import { Bug } from '../base/assert.ts'
import { silentLog } from '../base/log.ts'
import { codeCachePath } from '../node/code-cache.ts'
import { readFileBytes } from '../node/files.ts'
import { connectHost, connectOrStart, HostProcessError } from '../node/host-process.ts'
import { PrivateFolderError } from '../node/private-folder.ts'
import { ProcessTerminal } from '../node/terminal.ts'
import type { SocketStream } from '../node/unix-socket.ts'
import { runXl } from '../toolstack/cli/main.ts'
import type { World } from '../toolstack/cli/world.ts'
import type { Libxl } from '../toolstack/domain/libxl.ts'
import { HostGone, RemoteLibxl } from '../toolstack/host/client.ts'
import type { Machine } from './machine.ts'

const RELEASE = '0.1.0'
const hostProgram = fileURLToPath(new URL('host.ts', import.meta.url))

let remote: Promise<RemoteLibxl> | undefined
let own: Machine | undefined

async function connectAgain(): Promise<SocketStream> {
  const stream = await connectHost(process.env)
  if (!stream) throw new HostGone()
  return stream
}

async function openRemote(): Promise<RemoteLibxl> {
  let first: SocketStream | undefined = await connectOrStart(process.env, hostProgram)
  return RemoteLibxl.open(async () => {
    const stream = first ?? await connectAgain()
    first = undefined
    return stream
  })
}

/** Loaded only when asked for: it is most of the program. */
async function ownMachine(): Promise<Libxl> {
  const { heatWish, memoryWish, seedWish, startMachine } = await import('./machine.ts')
  const failed = (error: Error): never => {
    process.stderr.write(`xl: ${error.stack ?? error.message}\n`)
    process.exit(1)
  }
  own ??= await startMachine({
    memoryMib: memoryWish(process.env), heatLimit: heatWish(process.env),
    codeCache: codeCachePath(process.env), deterministic: seedWish(process.env),
    log: silentLog, failed,
  })
  return own.libxl
}

const world: World = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  terminal: new ProcessTerminal(),
  machine: () => remote ??= openRemote(),
  ownMachine,
  readText: async (path) => new TextDecoder().decode(await readFileBytes(path)),
  absolutePath: (path) => resolve(path),
  now: () => new Date(),
  delay: (ms, work) => {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
  uname: () => ({
    host: hostname(), release: `xenolith-${RELEASE}`, version: `Node.js ${process.version}`,
    machine: 'x86_64',
  }),
  pid: process.pid,
}

/** Waits until what was written has left this process. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((done) => stream.write('', () => done()))
}

async function main(): Promise<number> {
  // Whoever reads our output may have seen enough.
  process.stdout.on('error', () => process.exit(0))
  try {
    return await runXl(process.argv.slice(2), world)
  } catch (error) {
    if (error instanceof Bug) throw error
    const expected = error instanceof HostProcessError || error instanceof PrivateFolderError
    const { message, stack } = error as Error
    process.stderr.write(`xl: ${expected ? message : stack ?? message}\n`)
    return 1
  } finally {
    world.terminal.close()
    await own?.stop()
  }
}

const code = await main()
await Promise.all([flushed(process.stdout), flushed(process.stderr)])
process.exit(code)
