/**
 * Bit fields in one scalar, lowest first: `bits(u32, { type: 4, s: 1, dpl: 2 })`.
 *
 * Widths are listed in order from bit 0, as the manuals' tables read from the right. A field may be
 * up to 32 bits wide and lies in a scalar of at most 32 bits.
 */
import { Bug } from '../assert.ts'
import type { Abi, Place, Scalar } from './scalar.ts'
import type { Composite, Movable } from './struct.ts'

export type BitView<W> = { -readonly [K in keyof W]: number } & {
  /** All bits at once. */
  raw: number
}

export function bits<W extends Readonly<Record<string, number>>>(
  type: Scalar<number>, widths: W,
): Composite<BitView<W>> {
  const total = Object.values(widths).reduce((sum, width) => sum + width, 0)
  const room = type.size('x86_64') * 8
  if (room > 32 || total > room) throw new Bug(`${total} bits do not fit`)
  return {
    kind: 'composite',
    measure: (abi) => ({ size: type.size(abi), align: type.align(abi), atomic: type.atomic }),
    create: (bytes, cells, abi) => bitView(type, widths, bytes, cells, abi),
  }
}

function bitView<W extends Readonly<Record<string, number>>>(
  type: Scalar<number>, widths: W, bytes: DataView, cells: Int32Array, abi: Abi,
): BitView<W> & Movable {
  const { get, set } = type.access(0, abi)
  const view = {
    position: 0, bytes, cells, origin: bytes.byteOffset,
    at(offset: number) { this.position = offset; return this },
    get raw(): number { return get(this) },
    set raw(value: number) { set(this, value) },
  }
  let shift = 0
  for (const [name, width] of Object.entries(widths)) {
    const low = shift
    const mask = width === 32 ? 0xffff_ffff : 2 ** width - 1
    Object.defineProperty(view, name, {
      get(this: Place) { return (get(this) >>> low & mask) >>> 0 },
      set(this: Place, value: number) {
        set(this, (get(this) & ~(mask << low) | (value & mask) << low) >>> 0)
      },
      enumerable: true,
    })
    shift += width
  }
  return view as unknown as BitView<W> & Movable
}
