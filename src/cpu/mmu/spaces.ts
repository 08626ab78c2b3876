/**
 * Address spaces in the TLBs (AMD APM 2, 5.5; Intel SDM 3A, 4.10).
 *
 * A set of TLB tables belongs to an owner, which is a vcpu, and serves either its supervisor
 * accesses or the user accesses of one PCID. Loading CR3 selects another user set; the one used
 * longest ago makes room for a new one. The supervisor set is the same for all PCIDs, as kernels
 * map themselves by global pages: what is not global there has a log of its own, and is forgotten
 * when another space is selected.
 *
 * Flushes cost as much as the fills before them, as the logs say what was filled. They concern the
 * current owner's sets, and forget more than is asked where that is simpler: global pages of users.
 *
 * Entries of the instruction TLB and of the walk cache bear a number of the set that they belong
 * to; flushing gives the set a new number. Global pages bear the supervisor set's.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap, TABLE_BYTES, TLB_ENTRIES, TLB_SETS, TlbSet } from '../core-memory.ts'
import {
  Access, controlAt, controlWord, isUserLevel, type MmuEnvironment, type MmuGlobals,
} from './environment.ts'
import { emitCodeSpaces } from './exec-tlb.ts'
import { LARGE_PAGE_MARKS } from './large-pages.ts'
import { EMPTY_RUN, emptyEntry } from './lookup.ts'
import { emitEmptyMicro } from './micro-tlb.ts'

/** Bits of TlbSet.key: the PCID of a user set, what it is for, and the owner above. */
const KEY_USER = 1 << 12
const KEY_SUPERVISOR = 1 << 13
const OWNER_SHIFT = 14
/** Owners' numbers are below. */
export const OWNERS = 1 << 32 - OWNER_SHIFT

/** With more in its log, a set is emptied as a whole. */
const FEW = 4096

const SETS_END = coreMap.tlbSets + TLB_SETS * TlbSet.size
const c32 = (value: number): Expression => i32.const(value)

export interface SpaceFunctions {
  /** (PCID i32, keep i32): the current owner's address space of that PCID is in use; unless `keep`,
   * what is known of it is forgotten, but for global pages. */
  readonly switchSpace: FunctionBuilder
  /** (owner i32, PCID i32): another vcpu's address spaces are in use, as they were left. */
  readonly switchOwner: FunctionBuilder
  /** (PCID i32): forgets what is not global of one space. */
  readonly flushSpace: FunctionBuilder
  /** Forgets what is not global of all spaces. */
  readonly flushNonGlobal: FunctionBuilder
  /** Forgets all that is known of the current owner's spaces. */
  readonly flushAll: FunctionBuilder
  /** (set i32): forgets what a set has. */
  readonly emptySet: FunctionBuilder
  /** Forgets the supervisor's pages that are not global. */
  readonly flushLocal: FunctionBuilder
  /** (PCID i32) -> i32: the current owner's user set, or 0. */
  readonly userSetOf: FunctionBuilder
  /** Empties every entry whatever stands there, and selects owner 0 and PCID 0: for start. */
  readonly reset: FunctionBuilder
  /** Says by context.cpl which tables and code spaces count: to be called whenever it changed. */
  readonly selectTables: FunctionBuilder
}

type SetField = keyof typeof TlbSet.offsets

/** A field of 32 bits of the set at an address. */
export function setWord(env: MmuEnvironment, set: Expression, field: SetField): Expression {
  return i32.load(env.core, set, TlbSet.offsets[field])
}

export function setLong(env: MmuEnvironment, set: Expression, field: SetField): Expression {
  return i64.load(env.core, set, TlbSet.offsets[field])
}

/** Runs `body` for each set. */
function forEachSet(f: FunctionBuilder, body: (set: Local) => void): void {
  const set = f.local('i32')
  f.set(set, c32(coreMap.tlbSets))
  f.count(set, c32(SETS_END), () => body(set), TlbSet.size)
}

/** Runs `body` for each set that was ever used. */
export function forEachUsedSet(
  f: FunctionBuilder, env: MmuEnvironment, body: (set: Local) => void,
): void {
  forEachSet(f, (set) => f.if(setWord(env, set, 'key'), () => body(set)))
}

/** Runs `body` for each word of a set's log, with the address of its entry. */
export function forEachLogged(
  f: FunctionBuilder, env: MmuEnvironment, set: Expression,
  body: (word: Local, at: Local) => void,
): void {
  const [index, word, at] = [f.local('i32'), f.local('i32'), f.local('i32')]
  f.set(index, c32(0))
  f.count(index, setWord(env, set, 'logged'), () => {
    const log = i32.add(setWord(env, set, 'log'), i32.shl(index, c32(2)))
    f.set(word, i32.load(env.core, log))
    f.set(at, i32.add(setWord(env, set, 'tables'), i32.shl(word, c32(3))))
    body(word, at)
  })
}

/** The run loop remembers the translation of the page that it executes. */
export function emitForgetCodePage(f: FunctionBuilder, env: MmuEnvironment): void {
  f.store('i64', env.core, c32(0), i64.const(-1), controlAt('codePageTag'))
}

/** Gives a set a number that no entry bears; empty ones have 0. */
export function emitRenew(
  f: FunctionBuilder, env: MmuEnvironment, set: Expression,
  field: 'generation' | 'walkGeneration',
): void {
  const last = i64.load(env.core, c32(0), controlAt('generation'))
  f.store('i64', env.core, c32(0), i64.add(last, i64.const(1)), controlAt('generation'))
  f.store('i64', env.core, set, last, TlbSet.offsets[field])
}

export function buildSpaces(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals,
): SpaceFunctions {
  const spaces = new Spaces(module, env)
  const selectTables = buildSelectTables(module, env, globals)
  const emptySet = spaces.emptySet()
  const flushLocal = spaces.flushLocal()
  const findSet = spaces.findSet(emptySet)
  const switchSpace = spaces.switchSpace(flushLocal, findSet, emptySet, selectTables)
  const switchOwner = spaces.switchOwner(flushLocal, findSet, switchSpace)
  const userSetOf = spaces.userSetOf()
  return {
    selectTables,
    emptySet,
    flushLocal,
    switchSpace,
    switchOwner,
    userSetOf,
    flushSpace: spaces.flushSpace(userSetOf, emptySet, flushLocal),
    flushNonGlobal: spaces.flushNonGlobal(emptySet, flushLocal),
    flushAll: spaces.flushAll(emptySet),
    reset: spaces.reset(switchOwner),
  }
}

class Spaces {
  readonly #module: ModuleBuilder
  readonly #env: MmuEnvironment

  constructor(module: ModuleBuilder, env: MmuEnvironment) {
    this.#module = module
    this.#env = env
  }

  #setControl(f: FunctionBuilder, field: Parameters<typeof controlAt>[0], value: Expression): void {
    f.store('i32', this.#env.core, c32(0), value, controlAt(field))
  }

  #setWord(f: FunctionBuilder, set: Expression, field: SetField, value: Expression): void {
    f.store('i32', this.#env.core, set, value, TlbSet.offsets[field])
  }

  /** Makes both tables of a set empty. */
  #clear(f: FunctionBuilder, tables: Expression): void {
    for (let first = 0; first < 2 * TLB_ENTRIES; first += EMPTY_RUN) {
      const byte = first & EMPTY_RUN ? 0 : 0xff
      f.memoryFill(this.#env.core, i32.add(tables, c32(first * 8)), c32(byte), c32(EMPTY_RUN * 8))
    }
  }

  /** Copies the numbers of the sets in use to where generated code finds them. */
  #showGenerations(f: FunctionBuilder): void {
    const show = (set: Expression, field: 'userGeneration' | 'supervisorGeneration'): void => {
      f.store('i64', this.#env.core, c32(0), setLong(this.#env, set, 'generation'),
        controlAt(field))
    }
    show(controlWord(this.#env, 'userSet'), 'userGeneration')
    show(controlWord(this.#env, 'supervisorSet'), 'supervisorGeneration')
    emitCodeSpaces(f, this.#env)
    emitForgetCodePage(f, this.#env)
  }

  emptySet(): FunctionBuilder {
    const env = this.#env
    const f = this.#module.function({ parameters: ['i32'] })
    const [set] = f.parameters as [Local]
    f.if(i32.gtU(setWord(env, set, 'logged'), c32(FEW)), () => {
      this.#clear(f, setWord(env, set, 'tables'))
    }, () => forEachLogged(f, env, set, (word, at) => {
      f.store('i64', env.core, at, emptyEntry(word))
    }))
    emitEmptyMicro(f, env.core, setWord(env, set, 'tables'))
    this.#setWord(f, set, 'logged', c32(0))
    emitRenew(f, env, set, 'generation')
    emitRenew(f, env, set, 'walkGeneration')
    this.#showGenerations(f)
    return f
  }

  flushLocal(): FunctionBuilder {
    const env = this.#env
    const f = this.#module.function({ parameters: [] })
    const [index, word] = [f.local('i32'), f.local('i32')]
    const tables = f.local('i32')
    f.set(tables, setWord(env, controlWord(env, 'supervisorSet'), 'tables'))
    f.count(index, controlWord(env, 'localCount'), () => {
      f.set(word, i32.load(env.core, i32.shl(index, c32(2)), coreMap.localLog))
      f.store('i64', env.core, i32.add(tables, i32.shl(word, c32(3))), emptyEntry(word))
    })
    emitEmptyMicro(f, env.core, tables)
    this.#setControl(f, 'localCount', c32(0))
    return f
  }

  /** (key i32) -> i32: the set with that key, which may have been another's. */
  findSet(emptySet: FunctionBuilder): FunctionBuilder {
    const env = this.#env
    const f = this.#module.function({ parameters: ['i32'], result: 'i32' })
    const [key] = f.parameters as [Local]
    const [oldest, least] = [f.local('i32'), f.local('i32')]
    const clock = controlWord(env, 'clock')
    this.#setControl(f, 'clock', i32.add(clock, c32(1)))
    const take = (set: Expression): void => this.#setWord(f, set, 'stamp', clock)
    f.set(least, c32(-1))
    forEachSet(f, (set) => {
      f.if(i32.eq(setWord(env, set, 'key'), key), () => {
        take(set)
        f.return(set)
      })
      f.if(i32.ne(set, controlWord(env, 'supervisorSet')), () => {
        f.if(i32.ltU(setWord(env, set, 'stamp'), least), () => {
          f.set(least, setWord(env, set, 'stamp'))
          f.set(oldest, set)
        })
      })
    })
    f.call(emptySet, oldest)
    this.#setWord(f, oldest, 'key', key)
    take(oldest)
    f.return(oldest)
    return f
  }

  #keyOf(pcid: Expression): Expression {
    const owner = i32.shl(controlWord(this.#env, 'owner'), c32(OWNER_SHIFT))
    return i32.or(i32.or(owner, c32(KEY_USER)), pcid)
  }

  /** -> i32: 1 for a set of the current owner. */
  #isOwn(set: Expression): Expression {
    const owner = i32.shrU(setWord(this.#env, set, 'key'), c32(OWNER_SHIFT))
    return i32.eq(owner, controlWord(this.#env, 'owner'))
  }

  switchSpace(
    flushLocal: FunctionBuilder, findSet: FunctionBuilder, emptySet: FunctionBuilder,
    selectTables: FunctionBuilder,
  ): FunctionBuilder {
    const f = this.#module.function({ parameters: ['i32', 'i32'] })
    const [pcid, keep] = f.parameters as [Local, Local]
    f.call(flushLocal)
    this.#setControl(f, 'userSet', call(findSet, this.#keyOf(pcid)))
    f.if(i32.eqz(keep), () => f.call(emptySet, controlWord(this.#env, 'userSet')))
    this.#showGenerations(f)
    f.call(selectTables)
    return f
  }

  switchOwner(
    flushLocal: FunctionBuilder, findSet: FunctionBuilder, switchSpace: FunctionBuilder,
  ): FunctionBuilder {
    const f = this.#module.function({ parameters: ['i32', 'i32'] })
    const [owner, pcid] = f.parameters as [Local, Local]
    f.call(flushLocal)
    // It was in use until now, whenever it was selected.
    this.#setWord(f, controlWord(this.#env, 'supervisorSet'), 'stamp',
      controlWord(this.#env, 'clock'))
    this.#setControl(f, 'owner', owner)
    const key = i32.or(i32.shl(owner, c32(OWNER_SHIFT)), c32(KEY_SUPERVISOR))
    this.#setControl(f, 'supervisorSet', call(findSet, key))
    f.call(switchSpace, pcid, c32(1))
    return f
  }

  userSetOf(): FunctionBuilder {
    const f = this.#module.function({ parameters: ['i32'], result: 'i32' })
    const [pcid] = f.parameters as [Local]
    forEachSet(f, (set) => {
      f.if(i32.eq(setWord(this.#env, set, 'key'), this.#keyOf(pcid)), () => f.return(set))
    })
    f.return(c32(0))
    return f
  }

  flushSpace(
    userSetOf: FunctionBuilder, emptySet: FunctionBuilder, flushLocal: FunctionBuilder,
  ): FunctionBuilder {
    const f = this.#module.function({ parameters: ['i32'] })
    const set = f.local('i32')
    f.set(set, call(userSetOf, f.parameters[0]!))
    f.if(set, () => f.call(emptySet, set))
    f.if(i32.eq(set, controlWord(this.#env, 'userSet')), () => f.call(flushLocal))
    return f
  }

  flushNonGlobal(emptySet: FunctionBuilder, flushLocal: FunctionBuilder): FunctionBuilder {
    const f = this.#module.function({ parameters: [] })
    forEachSet(f, (set) => {
      const isUsers = i32.ne(i32.and(setWord(this.#env, set, 'key'), c32(KEY_USER)), c32(0))
      f.if(i32.and(isUsers, this.#isOwn(set)), () => f.call(emptySet, set))
    })
    f.call(flushLocal)
    return f
  }

  flushAll(emptySet: FunctionBuilder): FunctionBuilder {
    const f = this.#module.function({ parameters: [] })
    const others = f.local('i32')
    f.set(others, c32(0))
    forEachUsedSet(f, this.#env, (set) => f.if(this.#isOwn(set), () => f.call(emptySet, set),
      () => f.set(others, c32(1))))
    this.#setControl(f, 'localCount', c32(0))
    // All owners share these.
    f.if(others, () => f.return())
    this.#setControl(f, 'userGlobals', c32(0))
    f.memoryFill(this.#env.core, c32(coreMap.largePages), c32(0), c32(LARGE_PAGE_MARKS))
    return f
  }

  reset(switchOwner: FunctionBuilder): FunctionBuilder {
    const f = this.#module.function({ parameters: [] })
    const core = this.#env.core
    f.memoryFill(core, c32(coreMap.tlbSets), c32(0), c32(TLB_SETS * TlbSet.size))
    for (let n = 0; n < TLB_SETS; n++) {
      const set = c32(coreMap.tlbSets + n * TlbSet.size)
      // A full log: whoever takes the set clears the tables, and memory is used no earlier.
      this.#setWord(f, set, 'logged', c32(FEW + 1))
      this.#setWord(f, set, 'tables', c32(coreMap.tlbTables + n * 2 * TABLE_BYTES))
      this.#setWord(f, set, 'log', c32(coreMap.tlbLogs + n * 2 * TLB_ENTRIES * 4))
    }
    this.#setControl(f, 'localCount', c32(0))
    // None yet: the first one stands in.
    this.#setControl(f, 'supervisorSet', c32(coreMap.tlbSets))
    f.call(switchOwner, c32(0), c32(0))
    return f
  }
}

function buildSelectTables(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals,
): FunctionBuilder {
  const f = module.function({ parameters: [] })
  const user = f.local('i32')
  f.set(user, isUserLevel(env))
  const set = select(controlWord(env, 'userSet'), controlWord(env, 'supervisorSet'), user)
  f.store('i32', env.core, c32(0), setWord(env, set, 'tables'), controlAt('tables'))
  f.setGlobal(globals.access, i32.shl(user, c32(Math.log2(Access.USER))))
  emitCodeSpaces(f, env)
  return f
}
