/**
 * C structs described once: `struct`, `union`, `array` and `bits` over the scalars of scalar.ts.
 *
 * A layout knows sizes and offsets (plain numbers, for code generators) and makes views: objects
 * with a getter and a setter for each field, which are made once and moved with `at`. Nested views
 * are made with their parent and move with it. The layout rules are those of C for x86-64, or for
 * i386 after `.for('x86_32')`.
 */
import { assert, Bug } from '../assert.ts'
import type { Abi, Place, Scalar } from './scalar.ts'

/** What every view has beside its fields. */
export interface Movable extends Place {
  /** Moves the view, and those nested in it, to `offset` bytes after the buffer's start. */
  at(offset: number): this
}

/** A type with parts: it becomes a nested view. */
export interface Composite<V> {
  readonly kind: 'composite'
  measure(abi: Abi): Measure
  create(bytes: DataView, cells: Int32Array, abi: Abi): V & Movable
}

export interface Measure {
  readonly size: number
  readonly align: number
  readonly atomic: boolean
}

// Scalar<any> and Composite<any> are the top types of the language: invariance allows no other.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Type = Scalar<any> | Composite<any>
export type Fields = Readonly<Record<string, Type>>

/** What a field of type `T` is in a view. */
export type ValueOf<T> = T extends Scalar<infer V> ? V : T extends Composite<infer V> ? V : never

export type View<F extends Fields> = (F extends { readonly base: Type } ? Movable : Based) & {
  -readonly [K in keyof F as F[K] extends Scalar<any> ? K : never]: ValueOf<F[K]>
} & {
  readonly [K in keyof F as F[K] extends Scalar<any> ? never : K]: ValueOf<F[K]>
}

/** `base` is the view's position under another name, unless a field is called so. */
export interface Based extends Movable {
  readonly base: number
}

/** A buffer to lay a view over, or a window on one. */
export type Store = ArrayBufferLike | ArrayBufferView

export interface Member {
  readonly name: string
  readonly offset: number
  readonly size: number
  readonly type: Type
}

export interface Layout<F extends Fields> extends Composite<View<F>> {
  readonly name: string
  readonly fields: F
  readonly abi: Abi
  readonly size: number
  readonly align: number
  readonly offsets: { readonly [K in keyof F]: number }
  readonly members: readonly Member[]
  readonly options: StructOptions
  /** The same description under another ABI's rules. */
  for(abi: Abi): Layout<F>
  /** A view of the struct that begins `at` bytes into `store`. */
  on(store: Store, at?: number): View<F>
}

export type ViewOf<L> = L extends { on(store: Store): infer V } ? V : never

export interface StructOptions {
  /** No padding (wire and disk formats). */
  readonly packed?: boolean
  /** The least Xen release whose headers have it, where they are newer than the pinned ones. */
  readonly since?: string
}

const RESERVED = new Set(['at', 'bytes', 'cells', 'origin', 'position'])

/** Fields in C order; C's rules give the offsets. `name` is what C calls the type. */
export function struct<F extends Fields>(
  name: string, fields: F, options: StructOptions = {},
): Layout<F> {
  return describe(name, fields, 'x86_64', options, false)
}

/** Fields that share their first byte. */
export function union<F extends Fields>(fields: F, name = 'union'): Layout<F> {
  return describe(name, fields, 'x86_64', {}, true)
}

/** The measure of any type. */
function measureOf(type: Type, abi: Abi): Measure {
  if (type.kind === 'composite') return type.measure(abi)
  return { size: type.size(abi), align: type.align(abi), atomic: type.atomic }
}

function roundUp(n: number, to: number): number {
  return Math.ceil(n / to) * to
}

function describe<F extends Fields>(
  name: string, fields: F, abi: Abi, options: StructOptions, overlaid: boolean,
): Layout<F> {
  const members: Member[] = []
  let end = 0
  let align = 1
  let atomic = false
  for (const [field, type] of Object.entries(fields)) {
    if (RESERVED.has(field)) throw new Bug(`${name}: a field cannot be called ${field}`)
    const measure = measureOf(type, abi)
    const step = options.packed ? 1 : measure.align
    const offset = overlaid ? 0 : roundUp(end, step)
    members.push({ name: field, offset, size: measure.size, type })
    end = Math.max(end, offset + measure.size)
    align = Math.max(align, step)
    atomic ||= measure.atomic
  }
  const size = roundUp(end, align)
  const measure = { size, align, atomic }
  const ViewClass = viewClass(members, abi)
  const others = new Map<Abi, Layout<F>>()
  const layout: Layout<F> = {
    kind: 'composite',
    name, fields, abi, size, align, members, options,
    offsets: Object.fromEntries(members.map((m) => [m.name, m.offset])) as Layout<F>['offsets'],
    measure: (wanted) => wanted === abi ? measure : layout.for(wanted).measure(wanted),
    create: (bytes, cells, wanted) => wanted === abi
      ? new ViewClass(bytes, cells) as unknown as View<F>
      : layout.for(wanted).create(bytes, cells, wanted),
    for(wanted) {
      if (wanted === abi) return layout
      let other = others.get(wanted)
      if (!other) {
        other = describe(name, fields, wanted, options, overlaid)
        others.set(wanted, other)
      }
      return other
    },
    on(store, at = 0) {
      const window = windowOf(store)
      const view = layout.create(window, cellsOf(window, atomic), abi)
      return view.at(at) as unknown as View<F>
    },
  }
  return layout
}

function windowOf(store: Store): DataView {
  if (store instanceof DataView) return store
  if (ArrayBuffer.isView(store)) {
    return new DataView(store.buffer, store.byteOffset, store.byteLength)
  }
  return new DataView(store)
}

const noCells = new Int32Array(0)

function cellsOf(window: DataView, atomic: boolean): Int32Array {
  if (!atomic) return noCells
  assert(window.byteOffset % 4 === 0, 'atomic fields need an aligned window')
  return new Int32Array(window.buffer, 0, window.buffer.byteLength >>> 2)
}

type ViewConstructor = new (bytes: DataView, cells: Int32Array) => Movable

interface Child {
  readonly view: Movable
  readonly offset: number
}

/** One class a layout, so that each layout's views have a shape of their own. */
function viewClass(members: readonly Member[], abi: Abi): ViewConstructor {
  const nested = members.filter((m) => m.type.kind === 'composite')
  class StructView implements Movable {
    position = 0
    readonly bytes: DataView
    readonly cells: Int32Array
    readonly origin: number
    readonly #children: Child[] = []

    constructor(bytes: DataView, cells: Int32Array) {
      this.bytes = bytes
      this.cells = cells
      this.origin = bytes.byteOffset
      for (const member of nested) {
        const view = (member.type as Composite<Movable>).create(bytes, cells, abi)
        view.at(member.offset)
        this.#children.push({ view, offset: member.offset })
        Object.defineProperty(this, member.name, { value: view, enumerable: true })
      }
    }

    get base(): number {
      return this.position
    }

    at(offset: number): this {
      this.position = offset
      const children = this.#children
      for (let i = 0; i < children.length; i++) {
        const child = children[i]!
        child.view.at(offset + child.offset)
      }
      return this
    }
  }
  for (const member of members) {
    if (member.type.kind !== 'scalar') continue
    const { get, set } = member.type.access(member.offset, abi)
    Object.defineProperty(StructView.prototype, member.name, {
      get(this: Place) { return get(this) },
      set(this: Place, value: unknown) { set(this, value) },
      enumerable: true,
    })
  }
  return StructView
}

/** An array of scalars. */
export interface ScalarArray<T> {
  readonly length: number
  get(index: number): T
  set(index: number, value: T): void
}

/** An array of parts: `item` moves the one view that it owns, so use it before the next call. */
export interface PartArray<V> {
  readonly length: number
  item(index: number): V
}

export type ArrayOf<T extends Type> =
  T extends Scalar<infer V> ? ScalarArray<V> : T extends Composite<infer V> ? PartArray<V> : never

/** `length` elements, one after the other. */
export function array<T extends Type>(element: T, length: number): Composite<ArrayOf<T>> {
  return {
    kind: 'composite',
    measure(abi) {
      const { size, align, atomic } = measureOf(element, abi)
      return { size: size * length, align, atomic }
    },
    create(bytes, cells, abi) {
      const view = element.kind === 'scalar'
        ? new Scalars(element, length, bytes, cells, abi)
        : new Parts(element, length, bytes, cells, abi)
      return view as unknown as ArrayOf<T> & Movable
    },
  }
}

class Scalars<T> implements ScalarArray<T>, Movable {
  position = 0
  readonly bytes: DataView
  readonly cells: Int32Array
  readonly origin: number
  readonly length: number
  readonly #step: number
  readonly #get: (place: Place) => T
  readonly #set: (place: Place, value: T) => void
  /** Where the element being accessed is: the accessor sees it as its place. */
  readonly #cursor: { position: number, bytes: DataView, cells: Int32Array, origin: number }

  constructor(
    element: Scalar<T>, length: number, bytes: DataView, cells: Int32Array, abi: Abi,
  ) {
    this.bytes = bytes
    this.cells = cells
    this.origin = bytes.byteOffset
    this.length = length
    this.#step = element.size(abi)
    const access = element.access(0, abi)
    this.#get = access.get
    this.#set = access.set
    this.#cursor = { position: 0, bytes, cells, origin: bytes.byteOffset }
  }

  at(offset: number): this {
    this.position = offset
    return this
  }

  get(index: number): T {
    if (index >>> 0 >= this.length) throw new Bug(`index ${index} of ${this.length}`)
    this.#cursor.position = this.position + index * this.#step
    return this.#get(this.#cursor)
  }

  set(index: number, value: T): void {
    if (index >>> 0 >= this.length) throw new Bug(`index ${index} of ${this.length}`)
    this.#cursor.position = this.position + index * this.#step
    this.#set(this.#cursor, value)
  }
}

class Parts<V> implements PartArray<V>, Movable {
  position = 0
  readonly bytes: DataView
  readonly cells: Int32Array
  readonly origin: number
  readonly length: number
  readonly #step: number
  readonly #item: V & Movable

  constructor(
    element: Composite<V>, length: number, bytes: DataView, cells: Int32Array, abi: Abi,
  ) {
    this.bytes = bytes
    this.cells = cells
    this.origin = bytes.byteOffset
    this.length = length
    this.#step = element.measure(abi).size
    this.#item = element.create(bytes, cells, abi)
  }

  at(offset: number): this {
    this.position = offset
    this.#item.at(offset)
    return this
  }

  item(index: number): V {
    if (index >>> 0 >= this.length) throw new Bug(`index ${index} of ${this.length}`)
    return this.#item.at(this.position + index * this.#step)
  }
}
