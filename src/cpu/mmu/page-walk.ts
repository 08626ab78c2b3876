/**
 * The guest page walk (AMD APM 2, chapter 5): paging off, 32-bit with 4 MiB pages and PSE-36, PAE,
 * and four levels with 2 MiB and 1 GiB pages; U/S, R/W and NX at every level, WP, SMEP, SMAP,
 * reserved bits, accessed and dirty bits. Page tables are read through the p2m; where there is no
 * memory they read as ones, as from an open bus.
 *
 * Differs from hardware: PAE's PDPTEs are read at each walk instead of at MOV CR3 (as AMD does
 * under nested paging); accessed bits are set only by walks that succeed; a page table in a frame
 * that the p2m makes read-only keeps its accessed and dirty bits.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { CR0, CR4, EFER } from '../../abi/x86/control.ts'
import {
  Access, contextLong, contextWord, controlAt, has, OUTSIDE, type MmuEnvironment,
} from './environment.ts'
import { allowsUserData } from './entry-bits.ts'
import {
  ADDRESS, NX, PageFault, Pte, RESERVED, RESERVED_1G, RESERVED_2M, RESERVED_4M,
  RESERVED_PAE, RESERVED_PDPTE_PAE, RESERVED_PML4E,
} from './entry-format.ts'
import { Fill } from './fill.ts'
import { PageSize } from './large-pages.ts'
import { frameOf, readableWord, writableWord } from './p2m.ts'
import type { TlbFunctions } from './tlb.ts'
import { WalkCache } from './walk-cache.ts'
import { watchesAccesses } from './watch.ts'

/** Attempts to set accessed and dirty bits in entries that others change at the same time. */
const MAX_TRIES = 64

interface Slot {
  readonly address: Local
  readonly entry: Local
}

export interface WalkParts {
  readonly p2mWord: FunctionBuilder
  readonly entryAddress: FunctionBuilder
  readonly raise: FunctionBuilder
  readonly setBits: FunctionBuilder
  readonly tlb: TlbFunctions
}

const c64 = (value: bigint | number): Expression => i64.const(value)
const c32 = (value: number): Expression => i32.const(value)
const any64 = (value: Expression, mask: bigint | number): Expression =>
  i64.ne(i64.and(value, c64(mask)), c64(0))

/** (linear i64, access i32) -> i64: machine address, FAULT or OUTSIDE. */
export function buildWalk(
  module: ModuleBuilder, env: MmuEnvironment, parts: WalkParts,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  new Walk(f, env, parts).emit()
  return f
}

class Walk {
  readonly #f: FunctionBuilder
  readonly #env: MmuEnvironment
  readonly #parts: WalkParts
  readonly #linear: Local
  readonly #access: Local
  readonly #cr4: Local
  readonly #efer: Local
  /** Guest-physical address that the walk arrives at. */
  readonly #physical: Local
  /** AND of the entries (RW and US), OR of them (NX). */
  readonly #allow: Local
  readonly #deny: Local
  /** PageSize of the page. */
  readonly #size: Local
  readonly #reserved: Local
  readonly #tries: Local
  readonly #upper: readonly [Slot, Slot, Slot]
  readonly #leaf: Slot
  readonly #cache: WalkCache
  /** The last-level table as the cache has it, -1 when there is none, and the rights above it. */
  readonly #table: Local
  readonly #allowAbove: Local
  readonly #denyAbove: Local
  /** Starts the walk again. */
  #again!: Label

  constructor(f: FunctionBuilder, env: MmuEnvironment, parts: WalkParts) {
    this.#f = f
    this.#env = env
    this.#parts = parts
    this.#linear = f.parameters[0]!
    this.#access = f.parameters[1]!
    this.#cr4 = f.local('i32')
    this.#efer = f.local('i32')
    this.#physical = f.local('i64')
    this.#allow = f.local('i64')
    this.#deny = f.local('i64')
    this.#size = f.local('i32')
    this.#reserved = f.local('i64')
    this.#tries = f.local('i32')
    const slot = (): Slot => ({ address: f.local('i64'), entry: f.local('i64') })
    this.#upper = [slot(), slot(), slot()]
    this.#leaf = slot()
    this.#cache = new WalkCache(f, env, this.#linear)
    this.#table = f.local('i64')
    this.#allowAbove = f.local('i64')
    this.#denyAbove = f.local('i64')
  }

  emit(): void {
    const f = this.#f
    f.set(this.#cr4, contextWord(this.#env, 'cr4'))
    f.set(this.#efer, contextWord(this.#env, 'efer'))
    f.block((translated) => {
      f.if(i32.eqz(has(contextWord(this.#env, 'cr0'), CR0.PG)), () => {
        this.#withoutPaging()
        f.br(translated)
      })
      f.loop((again) => {
        this.#again = again
        f.set(this.#cache.used, c32(0))
        f.set(this.#table, c64(-1))
        f.set(this.#allow, c64(-1))
        f.set(this.#deny, c64(0))
        f.set(this.#size, c32(0))
        for (const slot of this.#upper) f.set(slot.entry, c64(Pte.A))
        f.block((found) => {
          f.if(has(this.#cr4, CR4.PAE), () => this.#wide(found))
          this.#narrow(found)
        })
        this.#checkPermission()
        f.brIf(translated, has(this.#access, Access.PROBE))
        this.#update()
      })
    })
    this.#finish()
  }

  #withoutPaging(): void {
    const f = this.#f
    f.set(this.#physical, i64.and(this.#linear, c64(0xffff_ffffn)))
    f.set(this.#allow, c64(~Pte.US))
    f.set(this.#leaf.entry, c64(Pte.A | Pte.D))
  }

  #raise(code: number): void {
    this.#f.if(this.#cache.used, () => {
      this.#cache.bypass()
      this.#f.br(this.#again)
    })
    this.#f.return(call(this.#parts.raise, this.#linear, this.#access, c32(code)))
  }

  /** Loads the entry at a guest-physical address, and requires that it is present. */
  #fetch(slot: Slot, at: Expression, size: 4 | 8): void {
    this.#load(slot, call(this.#parts.entryAddress, at), size)
  }

  /** The same for an address that entryAddress has given. */
  #load(slot: Slot, address: Expression, size: 4 | 8): void {
    const f = this.#f
    f.set(slot.address, address)
    f.set(slot.entry, c64(size === 8 ? -1 : 0xffff_ffffn))
    f.if(i64.geS(slot.address, c64(0)), () => {
      const load = size === 8 ? i64.load : i64.load32U
      f.set(slot.entry, load(this.#env.machine, i32.wrap(slot.address)))
    })
    f.if(i64.eqz(i64.and(slot.entry, c64(Pte.P))), () => this.#raise(0))
  }

  #requireZero(slot: Slot, mask: Expression): void {
    this.#f.if(i64.ne(i64.and(slot.entry, mask), c64(0)), () => {
      this.#raise(PageFault.P | PageFault.RSVD)
    })
  }

  #combine(slot: Slot): void {
    this.#f.set(this.#allow, i64.and(this.#allow, slot.entry))
    this.#f.set(this.#deny, i64.or(this.#deny, slot.entry))
  }

  /** The table that an entry names, indexed by nine bits of the address from `shift` on. */
  #next(table: Expression, shift: number): Expression {
    const index = i64.and(i64.shrU(this.#linear, c64(shift - 3)), c64(0xff8))
    return i64.or(i64.and(table, c64(ADDRESS)), index)
  }

  /** Makes `slot` the leaf: a page of 2^shift bytes. */
  #arrive(slot: Slot, shift: number, size: number, found: Label): void {
    const f = this.#f
    const offset = (1n << BigInt(shift)) - 1n
    const page = i64.and(slot.entry, c64(ADDRESS & ~offset))
    f.set(this.#physical, i64.or(page, i64.and(this.#linear, c64(offset))))
    this.#setLeaf(slot, size)
    f.br(found)
  }

  #setLeaf(slot: Slot, size: number): void {
    const f = this.#f
    f.set(this.#leaf.address, slot.address)
    f.set(this.#leaf.entry, slot.entry)
    f.set(slot.entry, c64(Pte.A))
    if (size) f.set(this.#size, c32(size))
  }

  /** Entries of 64 bits: PAE and four levels. */
  #wide(found: Label): void {
    const f = this.#f
    f.set(this.#reserved, c64(RESERVED))
    f.if(has(this.#efer, EFER.LMA), () => {
      const sign = i64.shrS(i64.shl(this.#linear, c64(16)), c64(16))
      f.if(i64.ne(sign, this.#linear), () => this.#raise(-1))
    }, () => f.set(this.#reserved, c64(RESERVED_PAE)))
    f.if(i32.eqz(has(this.#efer, EFER.NXE)), () => {
      f.set(this.#reserved, i64.or(this.#reserved, c64(NX)))
    })
    f.block((atLeaf) => {
      f.if(has(this.#efer, EFER.LMA), () => this.#cache.ifKnown((table, allow, deny) => {
        f.set(this.#table, table)
        f.set(this.#allow, allow)
        f.set(this.#deny, deny)
        f.br(atLeaf)
      }))
      this.#tables(found)
      const above = this.#upper[2].entry
      f.set(this.#table, call(this.#parts.entryAddress, i64.and(above, c64(ADDRESS))))
    })
    f.set(this.#allowAbove, this.#allow)
    f.set(this.#denyAbove, this.#deny)
    const index = i64.and(i64.shrU(this.#linear, c64(12 - 3)), c64(0xff8))
    this.#load(this.#leaf, i64.or(this.#table, index), 8)
    this.#requireZero(this.#leaf, this.#reserved)
    this.#combine(this.#leaf)
    const page = i64.and(this.#leaf.entry, c64(ADDRESS))
    f.set(this.#physical, i64.or(page, i64.and(this.#linear, c64(0xfff))))
    f.br(found)
  }

  /** The levels above the last, which may be large pages. */
  #tables(found: Label): void {
    const f = this.#f
    const [level4, level3, level2] = this.#upper
    const cr3 = contextLong(this.#env, 'cr3')
    f.if(has(this.#efer, EFER.LMA), () => {
      this.#fetch(level4, this.#next(cr3, 39), 8)
      this.#requireZero(level4, i64.or(this.#reserved, c64(RESERVED_PML4E)))
      this.#combine(level4)
      this.#fetch(level3, this.#next(level4.entry, 30), 8)
      this.#requireZero(level3, this.#reserved)
      this.#combine(level3)
      f.if(any64(level3.entry, Pte.PS), () => {
        this.#requireZero(level3, c64(RESERVED_1G))
        this.#arrive(level3, 30, PageSize.HUGE, found)
      })
      this.#fetch(level2, this.#next(level3.entry, 21), 8)
    }, () => {
      const index = i64.and(i64.shrU(this.#linear, c64(27)), c64(0x18))
      this.#fetch(level3, i64.or(i64.and(cr3, c64(0xffff_ffe0n)), index), 8)
      this.#requireZero(level3, c64(RESERVED_PDPTE_PAE))
      this.#fetch(level2, this.#next(level3.entry, 21), 8)
      // A PDPTE has no accessed bit.
      f.set(level3.entry, c64(Pte.A))
    })
    this.#requireZero(level2, this.#reserved)
    this.#combine(level2)
    f.if(any64(level2.entry, Pte.PS), () => {
      this.#requireZero(level2, c64(RESERVED_2M))
      this.#arrive(level2, 21, PageSize.LARGE, found)
    })
  }

  /** Entries of 32 bits. */
  #narrow(found: Label): void {
    const f = this.#f
    const level2 = this.#upper[2]
    const index2 = i64.and(i64.shrU(this.#linear, c64(20)), c64(0xffc))
    const cr3 = contextLong(this.#env, 'cr3')
    this.#fetch(level2, i64.or(i64.and(cr3, c64(0xffff_f000n)), index2), 4)
    this.#combine(level2)
    f.if(i32.and(has(this.#cr4, CR4.PSE), i32.wrap(i64.shrU(level2.entry, c64(3)))), () => {
      this.#requireZero(level2, c64(RESERVED_4M))
      const high = i64.shl(i64.and(level2.entry, c64(0x1_e000)), c64(32 - 13))
      const low = i64.and(level2.entry, c64(0xffc0_0000n))
      const offset = i64.and(this.#linear, c64(0x3f_ffff))
      f.set(this.#physical, i64.or(i64.or(high, low), offset))
      this.#setLeaf(level2, PageSize.LARGE)
      f.br(found)
    })
    const index1 = i64.and(i64.shrU(this.#linear, c64(10)), c64(0xffc))
    this.#fetch(this.#leaf, i64.or(i64.and(level2.entry, c64(0xffff_f000n)), index1), 4)
    this.#combine(this.#leaf)
    const page = i64.and(this.#leaf.entry, c64(0xffff_f000n))
    f.set(this.#physical, i64.or(page, i64.and(this.#linear, c64(0xfff))))
  }

  #checkPermission(): void {
    const f = this.#f
    const denied = (condition: Expression): void => {
      f.if(condition, () => this.#raise(PageFault.P))
    }
    const allow = i32.wrap(this.#allow)
    const user = has(this.#access, Access.USER)
    f.if(user, () => denied(i32.eqz(has(allow, Pte.US))), () => {
      f.if(has(allow, Pte.US), () => {
        f.if(has(this.#access, Access.EXEC), () => denied(has(this.#cr4, CR4.SMEP)), () => {
          f.if(has(this.#cr4, CR4.SMAP), () => denied(i32.eqz(allowsUserData(this.#env,
            this.#access))))
        })
      })
    })
    f.if(has(this.#access, Access.WRITE), () => {
      f.if(i32.eqz(has(allow, Pte.RW)), () => {
        denied(i32.or(user, has(contextWord(this.#env, 'cr0'), CR0.WP)))
      })
    })
    f.if(has(this.#access, Access.EXEC), () => denied(i64.ltS(this.#deny, c64(0))))
  }

  /** Sets accessed and dirty bits; starts again when an entry has changed meanwhile. */
  #update(): void {
    const f = this.#f
    const set = (slot: Slot, bits: Expression): void => {
      f.if(i64.ne(i64.and(slot.entry, bits), bits), () => {
        f.set(this.#tries, i32.add(this.#tries, c32(1)))
        const tried = call(this.#parts.setBits, slot.address, i32.wrap(slot.entry), i32.wrap(bits),
          i32.gtU(this.#tries, c32(MAX_TRIES)))
        f.brIf(this.#again, i32.eqz(tried))
      })
    }
    for (const slot of this.#upper) set(slot, c64(Pte.A))
    f.if(has(this.#access, Access.WRITE), () => {
      set(this.#leaf, c64(Pte.A | Pte.D))
      // A leaf that cannot be written stays clean, and its stores keep coming here.
      const writable = i64.and(i64.shrU(this.#leaf.address, c64(32 - 6)), c64(Pte.D))
      f.set(this.#leaf.entry, i64.or(this.#leaf.entry, writable))
    }, () => set(this.#leaf, c64(Pte.A)))
  }

  /** From guest-physical to machine, and into the TLB. */
  #finish(): void {
    const f = this.#f
    const word = f.local('i32')
    const machine = f.local('i32')
    const probe = has(this.#access, Access.PROBE)
    f.set(word, call(this.#parts.p2mWord, i32.wrap(i64.shrU(this.#physical, c64(12)))))
    f.set(machine, frameOf(word))
    const write = has(this.#access, Access.WRITE)
    const readOnly = i32.and(write, i32.eqz(writableWord(word)))
    f.if(i32.or(i32.eqz(readableWord(word)), readOnly), () => {
      f.if(i32.eqz(probe), () => {
        f.store('i64', this.#env.core, c32(0), this.#physical, controlAt('accessAddress'))
      })
      f.return(c64(OUTSIDE))
    })
    f.if(i32.eqz(probe), () => {
      f.if(write, () => f.call(this.#parts.tlb.noteStores, machine))
      this.#fill(word, machine)
      const isNew = i32.and(i64.geS(this.#table, c64(0)), i32.eqz(this.#cache.used))
      f.if(isNew, () => f.if(has(this.#efer, EFER.LMA), () => {
        this.#cache.remember(this.#table, this.#allowAbove, this.#denyAbove)
      }))
    })
    const offset = i32.and(i32.wrap(this.#physical), c32(0xfff))
    f.return(i64.extendU(i32.or(machine, offset)))
  }

  #fill(word: Local, machine: Local): void {
    const f = this.#f
    const bits = f.local('i32')
    const allow = i32.wrap(this.#allow)
    const leaf = i32.wrap(this.#leaf.entry)
    const global = i32.and(i32.shrU(leaf, c32(8)), i32.shrU(this.#cr4, c32(7)))
    const shifted = i32.shl(i32.and(global, c32(1)), c32(2))
    f.set(bits, i32.or(this.#size, shifted))
    f.if(has(this.#access, Access.EXEC), () => {
      const user = i32.and(this.#access, c32(Fill.USER))
      f.call(this.#parts.tlb.fillExec, this.#linear, machine, i32.or(bits, user))
    }, () => {
      const written = i32.and(i32.shrU(leaf, c32(6)), i32.shrU(allow, c32(1)))
      f.set(bits, i32.or(bits, i32.and(written, writableWord(word))))
      // Under SMAP the supervisor tables hold no user pages.
      const smap = i32.and(i32.shrU(this.#cr4, c32(21)), i32.shrU(allow, c32(2)))
      const user = i32.or(this.#access, i32.shl(smap, c32(1)))
      f.set(bits, i32.or(bits, i32.and(user, c32(Fill.USER))))
      // Breakpoints and alignment are looked at in slow accesses only.
      f.if(i32.eqz(watchesAccesses(this.#env)), () => {
        f.call(this.#parts.tlb.fillData, this.#linear, machine, bits)
      })
    })
  }
}
