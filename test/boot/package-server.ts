/**
 * A repository of Debian packages on the host's loopback, with packages from the machine's own apt
 * sources: unsigned, as one that a guest is told to trust.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, join } from 'node:path'
import { cacheFolder, madeFolder } from '../../src/node/cache.ts'
import { Apt, PackageError } from '../../src/node/packages.ts'

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The paragraph of a package in a repository's index. */
function paragraphOf(path: string): string {
  const { status, stdout } = spawnSync('dpkg-deb', ['-f', path], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`dpkg-deb reads no package in ${path}`)
  const bytes = readFileSync(path)
  return `${stdout.trimEnd()}\nFilename: ./${basename(path)}\nSize: ${bytes.length}\n` +
    `SHA256: ${sha256(bytes)}\n`
}

export class PackageServer {
  /** What was asked for. */
  readonly requests: string[] = []
  readonly #server: Server

  private constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.#server = createServer((request, response) => {
      const name = request.url?.replace(/^\/(\.\/)?/, '') ?? ''
      this.requests.push(name)
      const file = files.get(name)
      if (!file) response.statusCode = 404
      response.end(file)
    })
  }

  /** Serves the packages of these names; they are brought into `folder`. */
  static async start(folder: string, names: readonly string[]): Promise<PackageServer> {
    const apt = new Apt(join(madeFolder(cacheFolder()), `apt-test-${process.pid}`), () => {})
    const paths: string[] = []
    try {
      for (const name of names) {
        const info = await apt.show(name)
        if (!info) throw new PackageError(`the machine's apt sources have no ${name}`)
        paths.push(await apt.download(info, folder))
      }
    } finally {
      apt.close()
    }
    const index = Buffer.from(paths.map(paragraphOf).join('\n'))
    const release = `Date: ${new Date().toUTCString()}\nSHA256:\n` +
      ` ${sha256(index)} ${index.length} Packages\n`
    const server = new PackageServer(new Map([
      ['Packages', index], ['Release', Buffer.from(release)],
      ...paths.map((path): [string, Uint8Array] => [basename(path), readFileSync(path)]),
    ]))
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
  }
}
