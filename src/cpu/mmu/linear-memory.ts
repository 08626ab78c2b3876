/**
 * Memory by linear address for services and exception delivery, over the functions that the engine
 * exports. Guest faults and unanswered accesses are thrown, as interfaces.ts says.
 */
import { assert } from '../../base/assert.ts'
import { type CoreControlView, Stop } from '../core-memory.ts'
import { WATCHED_ACCESSES } from '../debug.ts'
import type { AccessExit, GuestFault, LinearMemory } from '../interfaces.ts'
import type { CpuContextView } from '../state.ts'
import { Access, FAULT, OUTSIDE } from './environment.ts'
import type { MmuExports } from './mmu.ts'

type Load = (linear: bigint, flags: number) => bigint
type Store = (linear: bigint, value: bigint, flags: number) => number

const PAGE = 0x1000n

function signed(address: bigint): bigint {
  return BigInt.asIntN(64, address)
}

export class MmuMemory implements LinearMemory {
  readonly bytes: DataView
  readonly #mmu: MmuExports
  readonly #context: CpuContextView
  readonly #control: CoreControlView
  readonly #fault: GuestFault
  readonly #exit: AccessExit
  readonly #loads: Readonly<Record<number, Load>>
  readonly #stores: Readonly<Record<number, Store>>

  /** `fault` and `exit` are the core's only instances of what is thrown. */
  constructor(
    machine: WebAssembly.Memory, mmu: MmuExports, context: CpuContextView, control: CoreControlView,
    fault: GuestFault, exit: AccessExit,
  ) {
    this.bytes = new DataView(machine.buffer)
    this.#mmu = mmu
    this.#context = context
    this.#control = control
    this.#fault = fault
    this.#exit = exit
    this.#loads = { 1: mmu.load8, 2: mmu.load16, 4: mmu.load32, 8: mmu.load64 }
    this.#stores = { 1: mmu.store8, 2: mmu.store16, 4: mmu.store32, 8: mmu.store64 }
  }

  read(address: bigint, size: number, user: boolean): bigint {
    const load = this.#loads[size]
    if (!load) return this.#readPieces(address, size, user)
    const value = load(signed(address), user ? Access.USER : 0)
    const status = this.#mmu.status()
    if (status !== 0) this.#throw(status)
    return BigInt.asUintN(64, value)
  }

  write(address: bigint, size: number, value: bigint, user: boolean): void {
    const store = this.#stores[size]
    if (!store) {
      this.#writePieces(address, size, value, user)
      return
    }
    const status = store(signed(address), BigInt.asIntN(64, value), user ? Access.USER : 0)
    if (status !== 0) this.#throw(status)
  }

  probeWrite(address: bigint, size: number, user: boolean): void {
    let at = address
    const end = address + BigInt(size)
    while (at < end) {
      const page = (at & ~(PAGE - 1n)) + PAGE
      const next = page < end ? page : end
      const place = this.#mmu.probeWrite(signed(at), Number(next - at), user ? Access.USER : 0)
      if (place === BigInt(FAULT)) this.#throw(Stop.FAULT)
      at = next
    }
  }

  translate(address: bigint, write: boolean, user: boolean): number {
    const access = Access.PROBE | (write ? Access.WRITE : 0) | (user ? Access.USER : 0)
    const place = Number(this.#mmu.walk(signed(address), access))
    return place === OUTSIDE ? FAULT : place
  }

  /** As translate, for an access that follows on the guest's behalf: accessed and dirty bits are
   * set as if the guest had made it. Faults are not raised. */
  reach(address: bigint, write: boolean, user: boolean): number {
    const access = (write ? Access.WRITE : 0) | (user ? Access.USER : 0)
    const place = Number(this.#mmu.translate(signed(address), access))
    return place === OUTSIDE ? FAULT : place
  }

  /** The guest-physical address at which the last access or `reach` met no memory. */
  get nowhere(): number {
    return Number(this.#control.accessAddress)
  }

  place(address: bigint, size: number, write: boolean, user: boolean): number {
    const within = Number(address & PAGE - 1n) + size <= Number(PAGE)
    if (!within || this.#control.watching & WATCHED_ACCESSES) return FAULT
    const access = user ? Access.USER : 0
    const place = write ? this.#mmu.probeWrite(signed(address), size, access)
      : this.#mmu.translate(signed(address), access)
    return place < 0n ? FAULT : Number(place)
  }

  flushAll(): void {
    this.#mmu.flushAll()
  }

  flushNonGlobal(): void {
    this.#mmu.flushNonGlobal()
  }

  flushPage(address: bigint): void {
    this.#mmu.flushPage(signed(address))
  }

  flushPageOf(address: bigint, pcid: number): void {
    this.#mmu.flushPageOf(signed(address), pcid)
  }

  flushSpace(pcid: number): void {
    this.#mmu.flushSpace(pcid)
  }

  switchSpace(pcid: number, keep: boolean): void {
    this.#mmu.switchSpace(pcid, keep ? 1 : 0)
  }

  /** Another vcpu's address spaces are in use; what is known of them is kept. */
  switchOwner(owner: number, pcid: number): void {
    this.#mmu.switchOwner(owner, pcid)
  }

  #readPieces(address: bigint, size: number, user: boolean): bigint {
    assert(size > 0 && size <= 16, 'an access has 1 to 16 bytes')
    let value = 0n
    for (let done = 0; done < size;) {
      const piece = largestPiece(size - done)
      value |= this.read(address + BigInt(done), piece, user) << BigInt(done * 8)
      done += piece
    }
    return value
  }

  #writePieces(address: bigint, size: number, value: bigint, user: boolean): void {
    assert(size > 0 && size <= 16, 'an access has 1 to 16 bytes')
    this.probeWrite(address, size, user)
    for (let done = 0; done < size;) {
      const piece = largestPiece(size - done)
      this.write(address + BigInt(done), piece, value >> BigInt(done * 8), user)
      done += piece
    }
  }

  #throw(status: number): never {
    if (status !== Stop.FAULT) throw this.#exit
    const { faultVector, faultErrorCode, faultHasErrorCode, faultAddress } = this.#control
    this.#fault.vector = faultVector
    this.#fault.errorCode = faultErrorCode
    this.#fault.hasErrorCode = faultHasErrorCode !== 0
    if (faultVector === 14) this.#context.cr2 = faultAddress
    throw this.#fault
  }
}

function largestPiece(left: number): number {
  if (left >= 8) return 8
  return left >= 4 ? 4 : left >= 2 ? 2 : 1
}
