/**
 * A store with a unix socket in a folder of its own, and programs run against it.
 */
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveStore } from '../../src/bin/store-socket.ts'
import { cacheFolder, madeFolder } from '../../src/node/cache.ts'
import { Apt, extractFile, PackageError } from '../../src/node/packages.ts'
import { UnixListener } from '../../src/node/unix-socket.ts'
import { LocalClient } from '../../src/xenstore/client.ts'
import { Xenstored } from '../../src/xenstore/xenstored.ts'

export interface Ended {
  readonly status: number
  readonly output: string
}

export class StoreServer {
  readonly store = new Xenstored()
  readonly client = new LocalClient(this.store)
  readonly folder = mkdtempSync(join(tmpdir(), 'xenstore-'))
  readonly socket = join(this.folder, 'socket')
  #listener: UnixListener | undefined

  static async start(): Promise<StoreServer> {
    const server = new StoreServer()
    server.#listener =
      await UnixListener.listen(server.socket, (stream) => serveStore(server.store, stream))
    return server
  }

  close(): void {
    this.#listener?.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Runs a program whose store is this one; `how` overrides the way it is found. */
  run(program: string, args: readonly string[], how: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const env = { PATH: process.env['PATH'], LC_ALL: 'C', XENSTORED_PATH: this.socket, ...how }
    return new Promise((resolve) => {
      execFile(program, args, { env, timeout: 120_000 }, (error, stdout, stderr) => {
        const code = error ? error.code : 0
        resolve({ status: typeof code === 'number' ? code : -1, output: stdout + stderr })
      })
    })
  }
}

/** For a test's `skip`: why Debian's programs cannot be run, or false. */
export function toolsMissing(): string | false {
  return existsSync('/usr/bin/xenstore-ls') ? false : 'the package xenstore-utils is not installed'
}

/** Xen's own test program: the installed one, or through apt. */
export interface TestProgram {
  readonly program: string
  /** For a test's `skip`. */
  readonly missing: string | false
}

const XEN_TOOLS = 'xen-utils-4.17'

export async function testXenstore(): Promise<TestProgram> {
  const installed = '/usr/lib/xen-4.17/bin/test-xenstore'
  if (existsSync(installed)) return { program: installed, missing: false }
  const folder = madeFolder(cacheFolder(), XEN_TOOLS)
  const program = join(folder, 'test-xenstore')
  if (existsSync(program)) return { program, missing: false }
  const apt = new Apt(join(folder, `apt-${process.pid}`), () => {})
  try {
    const info = await apt.show(XEN_TOOLS)
    if (!info) return { program, missing: `apt has no package ${XEN_TOOLS}` }
    await extractFile(await apt.download(info, madeFolder(folder, 'downloads')),
      '*/bin/test-xenstore', program)
    chmodSync(program, 0o755)
  } catch (error) {
    if (!(error instanceof PackageError)) throw error
    return { program, missing: error.message }
  } finally {
    apt.close()
    rmSync(join(folder, 'downloads'), { recursive: true, force: true })
  }
  return { program, missing: false }
}
