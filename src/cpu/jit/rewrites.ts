/**
 * Pages whose compiled code was written to: the more often that was, the more often code in them
 * must be hot before it is compiled again. When all code is forgotten, so is that: frames have
 * another use then, or another owner.
 */
const MOST = 12
/** Pages that are remembered; beyond that all begin anew. */
const PAGES = 4096

export class Rewrites {
  readonly #pages = new Map<number, { count: number, asked: number }>()

  /** Compiled code in a page was written to. */
  note(page: number): void {
    const known = this.#pages.get(page)
    if (known) {
      known.count = Math.min(known.count + 1, MOST)
      known.asked = 0
      return
    }
    if (this.#pages.size >= PAGES) this.#pages.clear()
    this.#pages.set(page, { count: 1, asked: 0 })
  }

  /** Nothing is known of any page. */
  clear(): void {
    this.#pages.clear()
  }

  /** Whether hot code in a page shall be compiled. */
  allow(page: number): boolean {
    const known = this.#pages.get(page)
    return !known || ++known.asked >= 1 << known.count
  }
}
