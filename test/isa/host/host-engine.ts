/**
 * The host CPU as an engine: harness.c, built by gcc, fed in batches.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CASE_BYTES, Cases, type Engine } from './layout.ts'

const SOURCE = new URL('./harness.c', import.meta.url).pathname

export class HostEngine implements Engine, Disposable {
  readonly #folder: string
  readonly #program: string

  private constructor(folder: string) {
    this.#folder = folder
    this.#program = join(folder, 'harness')
    execFileSync('gcc', ['-O1', '-o', this.#program, SOURCE], { stdio: 'pipe' })
  }

  /** Undefined, with the reason printed, where there is no gcc or the host is no x86-64. */
  static make(): HostEngine | undefined {
    if (process.arch !== 'x64' || process.platform !== 'linux') {
      console.log('host oracle skipped: the host is not x86-64 Linux')
      return undefined
    }
    const folder = mkdtempSync(join(tmpdir(), 'host-engine-'))
    try {
      return new HostEngine(folder)
    } catch (error) {
      rmSync(folder, { recursive: true })
      console.log(`host oracle skipped: no gcc (${String(error)})`)
      return undefined
    }
  }

  run(cases: Cases): Cases {
    const input = new Uint8Array(4 + cases.bytes.length)
    new DataView(input.buffer).setUint32(0, cases.count, true)
    input.set(cases.bytes, 4)
    const size = cases.count * CASE_BYTES
    const result = spawnSync(this.#program, [], {
      input, maxBuffer: size + 1024, timeout: 60_000,
    })
    if (result.status !== 0 || result.stdout.length !== size) {
      throw new Error(`the harness failed: ${result.signal ?? result.status} ${result.stderr}`)
    }
    return new Cases(result.stdout)
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}
