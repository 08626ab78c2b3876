/**
 * xl: the command line, with this process's streams, files and the way to the host process.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { silentLog } from '../base/log.ts'
import { codeCachePath } from '../node/code-cache.ts'
import { readFileBytes } from '../node/files.ts'
import { connectHost } from '../node/host-process.ts'
import { readGlobalConfig } from '../node/config-folder.ts'
import { ProcessTerminal } from '../node/terminal.ts'
import { runXl } from '../toolstack/cli/main.ts'
import type { World } from '../toolstack/cli/world.ts'
import type { Libxl } from '../toolstack/domain/libxl.ts'
import type { Machine } from './machine.ts'
import { openRemote, runTool } from './tool.ts'

const RELEASE = '0.1.0'

let own: Machine | undefined
let isJitWished = false

/** The machine in the host process; says so where that was started with other wishes. */
async function hostMachine(): Promise<Libxl> {
  const running = isJitWished ? await connectHost(process.env) : undefined
  if (running) {
    running.end()
    process.stderr.write('xl: a host process runs already; --jit is for one that starts\n')
  }
  return openRemote()
}

/** Loaded only when asked for: it is most of the program. */
async function ownMachine(): Promise<Libxl> {
  const { startMachine } = await import('./machine.ts')
  const { compilingWish, coresWish, memoryWish, seedWish } = await import('./wishes.ts')
  const failed = (error: Error): never => {
    process.stderr.write(`xl: ${error.stack ?? error.message}\n`)
    process.exit(1)
  }
  own ??= await startMachine({
    memoryMib: memoryWish(process.env), cores: coresWish(process.env),
    compiling: compilingWish(process.env), codeCache: codeCachePath(process.env),
    deterministic: seedWish(process.env), log: silentLog, failed,
  })
  return own.libxl
}

const world: World = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  terminal: new ProcessTerminal(),
  wishJit: (wish) => {
    isJitWished = true
    process.env['XENOLITH_JIT'] = wish
  },
  machine: hostMachine,
  ownMachine,
  readText: async (path) => new TextDecoder().decode(await readFileBytes(path)),
  globalConfig: () => readGlobalConfig(process.env),
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

await runTool('xl', (words) => runXl(words, world), async () => {
  world.terminal.close()
  await own?.stop()
})
