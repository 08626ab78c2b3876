/**
 * Reaching the host process, and starting it when there is none.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileCacheOf } from './code-cache.ts'
import { lockFile } from './flock.ts'
import { openPrivateFolder } from './private-folder.ts'
import { lockName, logName, runFolderPath, socketName } from './run-folder.ts'
import { connectUnix, type SocketStream } from './unix-socket.ts'

/** The host process cannot be reached or started. */
export class HostProcessError extends Error {
  override readonly name = 'HostProcessError'
}

const START_MS = 120_000
const POLL_MS = 40
const LOG_TAIL = 2000
/**
 * How the host process is run. Small generations: it makes little garbage, and stays for long.
 * Without the second and third a thread's old generation grows by tens of megabytes of garbage
 * until it is collected first. No looking for interruptions where WebAssembly loops, which costs
 * short ones a tenth of their time: guests' code looks up by itself
 * (docs/decisions/0008-regions.md), and calls do not nest deeply.
 */
export const HOST_OPTIONS: readonly string[] = [
  '--max-semi-space-size=2', '--initial-old-space-size=12', '--heap-growing-percent=50',
  '--no-wasm-stack-checks',
  '--import', fileURLToPath(new URL('relative-imports.ts', import.meta.url)),
]
/** With one arena for all threads the C library's allocator keeps least: 10 MB less than with two
 * once much was compiled, in the same time. That it gave back all blocks as large as compilers take
 * them saved 30 MB, and cost a fifth of the time where much is compiled. */
const MALLOC = { MALLOC_ARENA_MAX: '1' }

type Environment = Readonly<Record<string, string | undefined>>

/** A stream to the running host process; undefined when none runs. */
export async function connectHost(environment: Environment): Promise<SocketStream | undefined> {
  const path = join(runFolderPath(environment), socketName)
  try {
    return await connectUnix(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    const why = code === 'EACCES' || code === 'EPERM' ? 'Permission denied' : code
    throw new HostProcessError(`cannot reach the host process at ${path}: ${why}`, { cause })
  }
}

/** A stream to the host process, which is started from `program` when none runs. */
export async function connectOrStart(
  environment: Environment, program: string,
): Promise<SocketStream> {
  const running = await connectHost(environment)
  if (running) return running
  const folder = openPrivateFolder(runFolderPath(environment))
  const log = join(folder, logName)
  let child = spawnHost(environment, program, log)
  for (const end = Date.now() + START_MS; Date.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    const stream = await connectHost(environment)
    if (stream) return stream
    if (child.exited === LEFT_TO_ANOTHER) child = spawnHost(environment, program, log)
    else if (child.exited !== undefined) break
  }
  const why = child.exited ?? 'it does not answer'
  throw new HostProcessError(`cannot start the host process: ${why}${tailOf(log)}`)
}

/** How one ends that finds the folder locked: by one that starts, or is about to end. */
const LEFT_TO_ANOTHER = 'exit code 0'

function spawnHost(
  environment: Environment, program: string, logPath: string,
): { exited: string | undefined } {
  // Appended to: it is the log of whoever has the folder, which empties it first.
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn(process.execPath, [...HOST_OPTIONS, program], {
    detached: true, stdio: ['ignore', log, log], cwd: '/',
    env: { ...MALLOC, ...compileCacheOf(environment), ...environment },
  })
  closeSync(log)
  const state: { exited: string | undefined } = { exited: undefined }
  child.once('exit', (code, signal) => (state.exited = signal ?? `exit code ${code}`))
  child.once('error', (error) => (state.exited = error.message))
  child.unref()
  return state
}

/**
 * Makes this process the only one that has the run folder, for as long as it lives: false if
 * another has it. Where there are no locks it is enough that none answers.
 */
export async function takeRunFolder(environment: Environment, folder: string): Promise<boolean> {
  const lock = openSync(join(folder, lockName), 'a', 0o600)
  const locked = await lockFile(lock, true)
  if (locked === false) return false
  const running = await connectHost(environment)
  running?.end()
  if (running) return false
  truncateSync(join(folder, logName))
  return true
}

/** The end of the log, on lines of its own. */
function tailOf(path: string): string {
  try {
    const text = readFileSync(path, 'utf8').trim().slice(-LOG_TAIL)
    return text === '' ? '' : `\n${text}`
  } catch {
    return ''
  }
}
