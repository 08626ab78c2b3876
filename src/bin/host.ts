/**
 * The host process: owns the emulated machine, serves xl through a socket that only its user can
 * reach, and ends when nothing is left to do.
 *
 * Its standard output is its log. It is started by xl when there is none; beside another that has
 * the run folder it ends at once.
 */
import { join, resolve } from 'node:path'
import type { Log } from '../base/log.ts'
import { codeCachePath } from '../node/code-cache.ts'
import { autoFolderPath, configNames, readGlobalConfig } from '../node/config-folder.ts'
import { readFileBytes } from '../node/files.ts'
import { takeRunFolder } from '../node/host-process.ts'
import { restWhenIdle } from '../node/idle-process.ts'
import { openPrivateFolder } from '../node/private-folder.ts'
import { runFolderPath, socketName, storeSocketName } from '../node/run-folder.ts'
import { UnixListener } from '../node/unix-socket.ts'
import { autostart } from '../toolstack/host/autostart.ts'
import { HostServer } from '../toolstack/host/server.ts'
import { startMachine } from './machine.ts'
import { serveStore } from './store-socket.ts'
import {
  compilingWish, coresWish, memoryWish, mostMemoryWish, nodesWish, seedWish,
} from './wishes.ts'

function say(message: string): void {
  console.log(`${new Date().toISOString()} ${message}`)
}

const log: Log = { info: say, warn: say, error: say }

/** A mistake of ours, or a core's: the machine's state is not to be trusted any more. */
function fail(error: unknown): never {
  say(`fatal: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
  process.exit(1)
}

/** What is wished for; a wish that cannot be met ends the process. */
function wishOrEnd<T>(wish: () => T): T {
  try {
    return wish()
  } catch (error) {
    say((error as Error).message)
    process.exit(1)
  }
}

async function main(): Promise<void> {
  process.on('uncaughtException', fail)
  process.on('unhandledRejection', fail)
  process.on('SIGHUP', () => {})
  const folder = openPrivateFolder(runFolderPath(process.env))
  if (!await takeRunFolder(process.env, folder)) return
  const memoryMib = wishOrEnd(() => memoryWish(process.env))
  const compiling = wishOrEnd(() => compilingWish(process.env))
  const mostMemoryMib = wishOrEnd(() => mostMemoryWish(process.env, memoryMib))
  const cores = wishOrEnd(() => coresWish(process.env))
  const nodes = wishOrEnd(() => nodesWish(process.env, memoryMib, cores))
  const machine = await startMachine({
    memoryMib, mostMemoryMib, cores, nodes, compiling,
    codeCache: codeCachePath(process.env),
    commandLine: process.env['XENOLITH_COMMAND_LINE'] ?? '',
    tftpFolder: process.env['XENOLITH_TFTP'], bootFile: process.env['XENOLITH_BOOTFILE'],
    deterministic: seedWish(process.env), log, failed: fail,
  })
  let ending = false
  const end = async (): Promise<void> => {
    if (ending) return
    ending = true
    say('ending')
    listeners.forEach((listener) => listener.close())
    await machine.stop()
    process.exit(0)
  }
  const delay = (ms: number, work: () => void): (() => void) => {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  }
  const server = new HostServer(machine.libxl, {
    pid: process.pid, domainCount: () => machine.libxl.domainCount, delay,
    log: say, end: () => void end(), fatal: fail,
  })
  const listeners = [
    await UnixListener.listen(join(folder, storeSocketName),
      (stream) => serveStore(machine.xenstored, stream)),
    await UnixListener.listen(join(folder, socketName), (stream) => server.accept(stream)),
  ]
  const auto = autoFolderPath(process.env)
  void autostart(machine.libxl, {
    names: () => configNames(auto),
    read: async (name) => new TextDecoder().decode(await readFileBytes(join(auto, name))),
    globalConfig: () => readGlobalConfig(process.env),
    absolutePath: (path) => resolve(auto, path),
    log: say,
  })
  restWhenIdle()
  process.on('SIGTERM', () => void end())
  process.on('SIGINT', () => void end())
  say(`ready: ${memoryMib} MB, cores: ${cores}, pid ${process.pid}`)
  // Without locks two may have started at once: the later has the name, and nobody finds this one.
  const check = setInterval(() => {
    if (!listeners[1]?.isCurrent && machine.libxl.domainCount === 0) void end()
  }, 5000)
  check.unref()
}

await main()
