/**
 * Pages whose compiled code was written to: the more often that was before compiling had paid, the
 * more often code in them must be hot before it is compiled again; where it did pay, the less
 * often. When all code is forgotten, so is that: frames have another use then, or another owner.
 */
const MOST = 12
/** Pages that are remembered; beyond that all begin anew. */
const PAGES = 4096

export class Rewrites {
  readonly #pages = new Map<number, { count: number, asked: number, isCompiled: boolean }>()

  /** Compiled code in a page was written to, which had or had not paid until then. A page that is
   * written to piece by piece tells of it once, until something in it is compiled again. */
  note(page: number, hasPaid: boolean): void {
    const known = this.#pages.get(page)
    if (known) {
      if (known.isCompiled) {
        known.count = hasPaid ? Math.max(known.count - 1, 0) : Math.min(known.count + 1, MOST)
      }
      known.asked = 0
      known.isCompiled = false
      return
    }
    if (hasPaid) return
    if (this.#pages.size >= PAGES) this.#pages.clear()
    this.#pages.set(page, { count: 1, asked: 0, isCompiled: false })
  }

  /** Nothing is known of any page. */
  clear(): void {
    this.#pages.clear()
  }

  /** Whether hot code in a page shall be compiled. */
  allow(page: number): boolean {
    const known = this.#pages.get(page)
    if (!known) return true
    known.isCompiled = ++known.asked >= 1 << known.count
    return known.isCompiled
  }
}
