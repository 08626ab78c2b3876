/**
 * Expressions over unknown values, one object each however often they are made, and what facts say
 * of them: how high they may be, and whether they are machine addresses.
 */
import { TABLE_BYTES, TLB_ENTRIES } from '../../src/cpu/core-memory.ts'
import { PIECES } from '../../src/cpu/mmu/locked.ts'
import { microKind, type MicroPart } from './micro-symbols.ts'

/** Opcodes that proofs look at. */
export const op = {
  i32: 0x41, i64: 0x42, eqz32: 0x45, eqz64: 0x50, ne32: 0x47, leU32: 0x4d, leU64: 0x58, ltU64: 0x54,
  add32: 0x6a, and32: 0x71, shl32: 0x74, shrU32: 0x76, sub64: 0x7d, and64: 0x83, xor64: 0x85,
  wrap: 0xa7, load32: 0x28, load64: 0x29,
} as const
/** Nodes that no instruction makes: opcodes that there are not. */
const [UNKNOWN, NAMED, LOADED, MERGED, REACHED] = [-1, -2, -3, -4, -5]

/** Where the TLB's tables begin, and entries loaded from them. */
export const TABLES = 'tables'
const FOR_LOADS = 'entry for loads'
const FOR_STORES = 'entry for stores'

const TAG = -1n << 24n
const PAGE_MASK = -0x1000n
const FAR = 1n << 62n
const INDEX_MASK = BigInt((TLB_ENTRIES - 1) * 8)
const ALL_ONES = 0xffff_ffff
const NOT_REACHED = BigInt(PIECES)

export type Facts = ReadonlySet<Node>

/** A value where ways come together. */
interface Merge {
  readonly place: number
  /** What was known on each of the ways. */
  readonly facts: readonly Facts[]
}

export class Node {
  readonly id: number
  readonly opcode: number
  readonly args: readonly Node[]
  readonly constant: bigint | undefined
  readonly name: string
  readonly merge: Merge | undefined

  constructor(
    id: number, opcode: number, args: readonly Node[],
    more: { readonly constant?: bigint, readonly name?: string, readonly merge?: Merge } = {},
  ) {
    this.id = id
    this.opcode = opcode
    this.args = args
    this.constant = more.constant
    this.name = more.name ?? ''
    this.merge = more.merge
  }

  /** For people, with three levels of operands. */
  text(levels = 3): string {
    if (this.constant !== undefined) return this.constant.toString()
    if (this.name) return this.name
    if (this.opcode === UNKNOWN || levels === 0) return `value ${this.id}`
    const operands = this.args.map((arg) => arg.text(levels - 1)).join(', ')
    const kind = this.opcode === MERGED ? 'one of' : this.opcode === LOADED ? 'loaded from'
      : this.opcode.toString(16)
    return `${kind}(${operands})`
  }
}

export class Nodes {
  readonly #known = new Map<string, Node>()
  #count = 0
  #places = 0

  unknown(): Node {
    return new Node(this.#count++, UNKNOWN, [])
  }

  named(name: string): Node {
    return this.#once(name, () => new Node(this.#count++, NAMED, [], { name }))
  }

  make(opcode: number, args: readonly Node[], immediates: readonly (number | bigint)[]): Node {
    const key = `${opcode}:${args.map(({ id }) => id).join()}:${immediates.join()}`
    return this.#once(key, () => new Node(this.#count++, opcode, args,
      opcode === op.i32 || opcode === op.i64 ? { constant: BigInt(immediates[0]!) } : {}))
  }

  /** What a load found: another value each time. */
  loaded(address: Node, offset: number): Node {
    const name = offset === 0 ? FOR_LOADS : offset === TABLE_BYTES ? FOR_STORES : undefined
    return name ? new Node(this.#count++, LOADED, [address], { name }) : this.unknown()
  }

  /** A part of an entry of the micro-TLB at a moment: entries change only between moments. */
  micro({ number, part }: MicroPart, moment: number): Node {
    return this.named(`${part} of micro entry ${number} at ${moment}`)
  }

  /** What the engine answers when asked for an operand of so many bytes, aligned or not. */
  reached(bytes: number, alignment: number): Node {
    const numbers = [bytes, alignment].map((value) => this.make(op.i32, [], [value]))
    return new Node(this.#count++, REACHED, numbers)
  }

  mergePlace(): number {
    return this.#places++
  }

  merged(place: number, values: readonly Node[], facts: readonly Facts[]): Node {
    return new Node(this.#count++, MERGED, values, { merge: { place, facts } })
  }

  #once(key: string, make: () => Node): Node {
    let node = this.#known.get(key)
    if (!node) {
      node = make()
      this.#known.set(key, node)
    }
    return node
  }
}

/** The highest that a 32-bit value can be; `bounds` says it of globals. */
export function boundOf(node: Node, bounds: (name: string) => number): number {
  const { opcode, args, constant } = node
  if (constant !== undefined) return Number(BigInt.asUintN(32, constant))
  const [a, b] = args
  const below = (value: number): number => value > ALL_ONES ? ALL_ONES : value
  switch (opcode) {
    case NAMED: return below(bounds(node.name))
    case op.and32: return Math.min(boundOf(a!, bounds), boundOf(b!, bounds))
    case op.add32: return below(boundOf(a!, bounds) + boundOf(b!, bounds))
    case op.shl32: return b!.constant === undefined ? ALL_ONES
      : below(boundOf(a!, bounds) * 2 ** Number(b!.constant & 31n))
    case op.shrU32: return b!.constant === undefined ? ALL_ONES
      : boundOf(a!, bounds) >>> Number(b!.constant & 31n)
    case MERGED: return Math.max(...args.map((arg) => boundOf(arg, bounds)))
    default: return ALL_ONES
  }
}

/** What an address of machine memory may be used for. */
interface Proof {
  /** As many bytes from there are in the page. */
  readonly bytes: number
  /** It is a multiple of this. */
  readonly alignment: number
  readonly writable: boolean
}

/** Shows that a node is a machine address that was looked up. */
export function addressProof(address: Node, facts: Facts): Proof | undefined {
  const { opcode, args } = address
  if (opcode === MERGED) {
    return weakest(args.map((value, way) => addressProof(value, address.merge!.facts[way]!)))
  }
  if (opcode === REACHED) return reachedProof(address, facts)
  const [low, addend] = args
  if (opcode !== op.add32 || low!.opcode !== op.wrap) return undefined
  const linear = low!.args[0]!
  return lookUpProof(linear, addend!, facts) ?? reuseProof(linear, addend!, facts)
    ?? microProof(linear, addend!, facts)
}

/** The engine has answered with the address of an operand that may be written, and not PIECES. */
function reachedProof(answer: Node, facts: Facts): Proof | undefined {
  const isAddress = [...facts].some(({ opcode, args: [a, b] }) =>
    opcode === op.ne32 && a === answer && b!.constant === NOT_REACHED)
  const [bytes, alignment] = answer.args.map(({ constant }) => Number(constant))
  return isAddress ? { bytes: bytes!, alignment: alignment!, writable: true } : undefined
}

function weakest(proofs: readonly (Proof | undefined)[]): Proof | undefined {
  if (proofs.length === 0 || proofs.includes(undefined)) return undefined
  return {
    bytes: Math.min(...proofs.map((proof) => proof!.bytes)),
    alignment: Math.min(...proofs.map((proof) => proof!.alignment)),
    writable: proofs.every((proof) => proof!.writable),
  }
}

/** hits() has accepted the entry for the address. */
function lookUpProof(linear: Node, addend: Node, facts: Facts): Proof | undefined {
  const entry = entryIn(addend)
  const table = entry && tableOf(entry, linear)
  if (!table) return undefined
  const alignment = agreement(linear, entry, TAG, facts)
  if (alignment === 0) return undefined
  const bytes = Math.max(alignment, roomIn(linear, facts))
  return { bytes, alignment, writable: table === FOR_STORES }
}

/** inPageFrom() has found the access in the page whose addend it is. */
function reuseProof(linear: Node, addend: Node, facts: Facts): Proof | undefined {
  for (const { opcode, args: [distance, limit] } of facts) {
    const highest = limit?.constant
    if (opcode !== op.leU64 || distance!.opcode !== op.sub64 || highest === undefined) continue
    const [from, first] = distance!.args as [Node, Node]
    const table = from === linear ? pageTable(first, addend, facts) : undefined
    if (!table) continue
    return { bytes: 4096 - Number(highest), alignment: 1, writable: table === FOR_STORES }
  }
  return undefined
}

const MICRO = /^addend (of micro entry (\d+) at \d+)$/

/** microHit() has found the access among the places of the entry whose addend it is. */
function microProof(linear: Node, addend: Node, facts: Facts): Proof | undefined {
  const [, entry, number] = MICRO.exec(addend.name) ?? []
  const isHit = [...facts].some(({ opcode, args: [distance, places] }) => {
    if (opcode !== op.ltU64 || distance!.opcode !== op.sub64) return false
    const [last, from] = distance!.args as [Node, Node]
    return last.name === `last ${entry}` && from === linear && places!.name === `places ${entry}`
  })
  if (!isHit) return undefined
  const { bytes, isForStores } = microKind(Number(number))
  return { bytes, alignment: 1, writable: isForStores }
}

/** The name of the table by which the first address of a page and its addend were noted. */
function pageTable(first: Node, addend: Node, facts: Facts): string | undefined {
  if (first.opcode === op.and64 && first.args[1]!.constant === PAGE_MASK) {
    const linear = first.args[0]!
    const entry = entryIn(addend)
    const isHit = entry && agreement(linear, entry, TAG, facts) > 0
    return isHit ? tableOf(entry, linear) : undefined
  }
  if (first.opcode !== MERGED) return undefined
  const { place, facts: ways } = first.merge!
  const isPair = addend.opcode === MERGED && addend.merge!.place === place
  const tables = first.args.flatMap((value, way) => {
    const isFar = value.opcode === op.xor64 && value.args[1]!.constant === FAR
    return isFar ? [] : [pageTable(value, isPair ? addend.args[way]! : addend, ways[way]!)]
  })
  if (tables.includes(undefined)) return undefined
  return tables.includes(FOR_LOADS) ? FOR_LOADS : tables[0]
}

/** The entry that an addend is of. */
function entryIn({ opcode, args: [value, shift] }: Node): Node | undefined {
  const isAddend = opcode === op.shl32 && shift!.constant === 8n && value!.opcode === op.wrap
  return isAddend ? value!.args[0] : undefined
}

/** The name of an entry that was loaded from a table, at the place for an address. */
function tableOf({ opcode, name, args: [address] }: Node, linear: Node): string | undefined {
  if (opcode !== LOADED || address!.opcode !== op.add32) return undefined
  const [table, index] = address!.args as [Node, Node]
  const [shifted, mask] = index.args
  if (index.opcode !== op.and32 || mask!.constant !== INDEX_MASK) return undefined
  const [low, nine] = shifted!.args
  const isPlace = shifted!.opcode === op.shrU32 && nine!.constant === 9n
    && low!.opcode === op.wrap && low!.args[0] === linear
  return isPlace && table.name === TABLES ? name : undefined
}

/** What a fact compares an address with. */
function comparedWith({ opcode, args: [masked] }: Node, linear: Node): Node[] {
  if (opcode !== op.eqz64 || masked!.opcode !== op.and64) return []
  const difference = masked!.args[0]!
  const isSought = difference.opcode === op.xor64 && difference.args[0] === linear
  return isSought ? [difference.args[1]!] : []
}

/** The alignment, a power of two up to 16, that a test showed beside agreement in the bits of
 * `mask`; 0 when there was none. */
function agreement(linear: Node, other: Node, mask: bigint, facts: Facts): number {
  for (const fact of facts) {
    if (comparedWith(fact, linear)[0] !== other) continue
    const wanted = fact.args[0]!.args[1]!.constant
    if (wanted === undefined || (wanted & mask) !== mask) continue
    const low = Number(wanted & ~mask)
    if (low < 16 && (low & low + 1) === 0) return low + 1
  }
  return 0
}

/** Bytes from an address to the end of its page, by a test of where in the page it is. */
function roomIn(linear: Node, facts: Facts): number {
  let room = 1
  for (const { opcode, args: [place, limit] } of facts) {
    if (opcode !== op.leU32 || place!.opcode !== op.and32) continue
    const [low, mask] = place!.args as [Node, Node]
    const isPlace = low.opcode === op.wrap && low.args[0] === linear && mask.constant === 0xfffn
    const highest = limit!.constant
    if (isPlace && highest !== undefined) room = Math.max(room, 4096 - Number(highest))
  }
  return room
}
