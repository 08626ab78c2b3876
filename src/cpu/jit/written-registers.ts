/**
 * Which registers a way out of a region must store: those that may have been written on the way.
 *
 * What a block writes is noted while it is translated, so that nothing but the semantics has to
 * know it of instructions; then it is carried along the edges (A. Aho et al., "Compilers", 9.2).
 * Registers are bits, as local-state.ts numbers them.
 */
export class WrittenRegisters {
  readonly #successors: readonly (readonly number[])[]
  /** By node: of its block, and once that is solved of what leads to it as well. */
  readonly #written: bigint[]

  constructor(successors: readonly (readonly number[])[]) {
    this.#successors = successors
    this.#written = successors.map(() => 0n)
  }

  /** Notes that the block of a node may write registers. */
  note(node: number, registers: bigint): void {
    this.#written[node]! |= registers
  }

  /** Finds out the rest when all is noted. */
  solve(): void {
    for (let changed = true; changed;) {
      changed = false
      this.#successors.forEach((list, node) => {
        for (const to of list) {
          const joined = this.#written[to]! | this.#written[node]!
          if (joined === this.#written[to]) continue
          this.#written[to] = joined
          changed = true
        }
      })
    }
  }

  /** What may have been written when the block of a node ends. */
  behind(node: number): bigint {
    return this.#written[node]!
  }
}
