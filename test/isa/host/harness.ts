/**
 * A C program on the host CPU that is given its input at once and answers with so many bytes.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class Harness implements Disposable {
  readonly #folder: string
  readonly #program: string

  private constructor(folder: string, source: URL, options: readonly string[]) {
    this.#folder = folder
    this.#program = join(folder, 'harness')
    execFileSync('gcc', ['-O1', ...options, '-o', this.#program, source.pathname],
      { stdio: 'pipe' })
  }

  /** Undefined, with the reason printed why there is no `what`, where there is no gcc or the host
   * is no x86-64. */
  static make(what: string, source: URL, ...options: readonly string[]): Harness | undefined {
    if (process.arch !== 'x64' || process.platform !== 'linux') {
      console.log(`${what} skipped: the host is not x86-64 Linux`)
      return undefined
    }
    const folder = mkdtempSync(join(tmpdir(), 'host-engine-'))
    try {
      return new Harness(folder, source, options)
    } catch (error) {
      rmSync(folder, { recursive: true })
      console.log(`${what} skipped: no gcc (${String(error)})`)
      return undefined
    }
  }

  /** What it answers: exactly `size` bytes. */
  run(input: Uint8Array, size: number): Buffer {
    const result = spawnSync(this.#program, [], {
      input, maxBuffer: size + 1024, timeout: 60_000,
    })
    if (result.status !== 0 || result.stdout.length !== size) {
      throw new Error(`the harness failed: ${result.signal ?? result.status} ${result.stderr}`)
    }
    return result.stdout
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}
