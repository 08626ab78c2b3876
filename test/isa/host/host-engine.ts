/**
 * The host CPU as an engine: harness.c, built by gcc, fed in batches.
 */
import { Harness } from './harness.ts'
import { CASE_BYTES, Cases, type Engine } from './layout.ts'

export class HostEngine implements Engine, Disposable {
  readonly #harness: Harness

  private constructor(harness: Harness) {
    this.#harness = harness
  }

  /** Undefined, with the reason printed, where there is no gcc or the host is no x86-64. */
  static make(): HostEngine | undefined {
    const harness = Harness.make('host oracle', new URL('./harness.c', import.meta.url))
    return harness && new HostEngine(harness)
  }

  run(cases: Cases): Cases {
    const input = new Uint8Array(4 + cases.bytes.length)
    new DataView(input.buffer).setUint32(0, cases.count, true)
    input.set(cases.bytes, 4)
    return new Cases(this.#harness.run(input, cases.count * CASE_BYTES))
  }

  [Symbol.dispose](): void {
    this.#harness[Symbol.dispose]()
  }
}
