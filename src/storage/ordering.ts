/**
 * Turns for requests that must not run side by side.
 */

/** One at a time, in the order of asking. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}

interface Claim {
  readonly first: number
  readonly last: number
  readonly exclusive: boolean
  /** Called when the claim's turn comes; undefined once it has. */
  start: (() => void) | undefined
}

/**
 * Claims on ranges of numbers, shared or exclusive. A claim waits for the earlier ones that it does
 * not go with, so that none waits for ever.
 */
export class RangeLock {
  readonly #claims: Claim[] = []

  async run<T>(
    first: number, last: number, exclusive: boolean, work: () => Promise<T>,
  ): Promise<T> {
    const claim: Claim = { first, last, exclusive, start: undefined }
    this.#claims.push(claim)
    if (this.#mustWait(this.#claims.length - 1)) {
      await new Promise<void>((start) => { claim.start = start })
    }
    try {
      return await work()
    } finally {
      this.#claims.splice(this.#claims.indexOf(claim), 1)
      this.#startOthers()
    }
  }

  /** Whether a shared claim would not have to wait. */
  isFree(first: number, last: number): boolean {
    return !this.#claims.some((claim) =>
      claim.exclusive && claim.first <= last && first <= claim.last)
  }

  #mustWait(index: number): boolean {
    const claim = this.#claims[index]!
    for (let i = 0; i < index; i++) {
      const other = this.#claims[i]!
      if (other.first <= claim.last && claim.first <= other.last &&
        (other.exclusive || claim.exclusive)) return true
    }
    return false
  }

  #startOthers(): void {
    this.#claims.forEach((claim, index) => {
      if (!claim.start || this.#mustWait(index)) return
      claim.start()
      claim.start = undefined
    })
  }
}
