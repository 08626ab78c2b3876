/**
 * What is known of the x87 stack on the way to an instruction of a region: how far its top has
 * moved since the region was entered, which of its registers are full or empty, and what was found
 * of the control word. Registers are numbered as in local-x87.ts.
 */
export class X87Facts {
  /** ST is slot `depth`. */
  depth: number
  /** A bit for each slot. */
  full = 0
  empty = 0
  isUsable = false
  isNearest = false

  constructor(depth: number) {
    this.depth = depth
  }

  clone(): X87Facts {
    return Object.assign(new X87Facts(this.depth), this)
  }

  noteFull(slots: number): void {
    this.full |= slots
    this.empty &= ~slots
  }

  noteEmpty(slots: number): void {
    this.empty |= slots
    this.full &= ~slots
  }

  /** The control word may be another one. */
  forgetControl(): void {
    this.isUsable = false
    this.isNearest = false
  }
}
