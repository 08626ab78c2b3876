/**
 * A vcpu's memory as its hypercalls see it: bytes at linear addresses, copied in and out.
 *
 * The addresses are the guest's own. Who translates them is given: the core's MMU for a running
 * vcpu, the p2m alone for the control domain, whose programs address physical memory. A copy that
 * meets a hole stops and says so; nothing here throws whatever the guest passes.
 */
import type { Region } from '../../base/shared/region.ts'

/**
 * Machine address of a linear address, or -1. Linear addresses are signed numbers: the upper half
 * of the canonical space is negative, and exact.
 */
export type Translate = (linear: number, write: boolean) => number

/** Canonical addresses lie between minus this and this. */
const CANONICAL_LIMIT = 2 ** 47

function isCanonical(address: number, size: number): boolean {
  return address >= -CANONICAL_LIMIT && address + size <= CANONICAL_LIMIT
}

/** What stands around a copy, so that translations stay true while it lasts. */
export interface Entrance {
  enter(): void
  leave(): void
}

/** For memory whose translations only the thread itself changes. */
const open: Entrance = { enter() {}, leave() {} }

export class GuestMemory {
  readonly #machine: Region
  #translate: Translate = nowhere
  #entrance: Entrance = open
  readonly #word = new DataView(new ArrayBuffer(8))

  constructor(machine: Region) {
    this.#machine = machine
  }

  /** Says who translates from now on; at first every access faults. */
  translateBy(translate: Translate, entrance: Entrance = open): void {
    this.#translate = translate
    this.#entrance = entrance
  }

  /** Copies `size` bytes at the guest's `address` to the start of `to`; false on a fault. */
  copyIn(to: DataView, address: number, size: number): boolean {
    this.#entrance.enter()
    const done = this.#copyIn(to, address, size)
    this.#entrance.leave()
    return done
  }

  #copyIn(to: DataView, address: number, size: number): boolean {
    if (!isCanonical(address, size)) return false
    const octets = this.#machine.octets
    for (let done = 0; done < size;) {
      const machine = this.#translate(address + done, false)
      if (machine < 0) return false
      const end = Math.min(size, done + 4096 - machine % 4096)
      const delta = machine - done
      for (; done < end; done++) to.setUint8(done, octets[done + delta]!)
    }
    return true
  }

  /** Copies the first `size` bytes of `from` to the guest's `address`; false on a fault. */
  copyOut(from: DataView, address: number, size: number): boolean {
    this.#entrance.enter()
    const done = this.#copyOut(from, address, size)
    this.#entrance.leave()
    return done
  }

  #copyOut(from: DataView, address: number, size: number): boolean {
    if (!isCanonical(address, size)) return false
    const octets = this.#machine.octets
    for (let done = 0; done < size;) {
      const machine = this.#translate(address + done, true)
      if (machine < 0) return false
      const end = Math.min(size, done + 4096 - machine % 4096)
      const delta = machine - done
      for (; done < end; done++) octets[done + delta] = from.getUint8(done)
    }
    return true
  }

  /** As copyIn, for bulk: fills `to`. */
  readInto(to: Uint8Array, address: number): boolean {
    this.#entrance.enter()
    const done = this.#transfer(to, address, false)
    this.#entrance.leave()
    return done
  }

  /** As copyOut, for bulk. */
  writeFrom(from: Uint8Array, address: number): boolean {
    this.#entrance.enter()
    const done = this.#transfer(from, address, true)
    this.#entrance.leave()
    return done
  }

  /** Reads 4 bytes; -1 on a fault. */
  readU32(address: number): number {
    return this.copyIn(this.#word, address, 4) ? this.#word.getUint32(0, true) : -1
  }

  writeU32(address: number, value: number): boolean {
    this.#word.setUint32(0, value, true)
    return this.copyOut(this.#word, address, 4)
  }

  /** Reads 8 bytes as a number; -1 on a fault. A value above 2^53 loses its low bits. */
  readU53(address: number): number {
    if (!this.copyIn(this.#word, address, 8)) return -1
    return this.#word.getUint32(4, true) * 0x1_0000_0000 + this.#word.getUint32(0, true)
  }

  writeU53(address: number, value: number): boolean {
    this.#word.setUint32(0, value % 0x1_0000_0000, true)
    this.#word.setUint32(4, Math.floor(value / 0x1_0000_0000), true)
    return this.copyOut(this.#word, address, 8)
  }

  #transfer(mine: Uint8Array, address: number, write: boolean): boolean {
    if (!isCanonical(address, mine.length)) return false
    const octets = this.#machine.octets
    for (let done = 0; done < mine.length;) {
      const linear = address + done
      const machine = this.#translate(linear, write)
      if (machine < 0) return false
      const inPage = Math.min(4096 - machine % 4096, mine.length - done)
      if (write) octets.set(mine.subarray(done, done + inPage), machine)
      else mine.set(octets.subarray(machine, machine + inPage), done)
      done += inPage
    }
    return true
  }
}

/** A guest memory in which every access faults. */
export const nowhere: Translate = () => -1
