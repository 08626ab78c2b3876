/**
 * AVX loads and stores of chosen elements: VMASKMOV, VPMASKMOV, and AVX2's gathers (AMD APM 4,
 * chapter 2; Intel SDM 2C, VPGATHER).
 *
 * An element that is not chosen is not accessed, and cannot fault. A gather that faults has loaded
 * the elements before, and has cleared their masks, so that it goes on where it stopped.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { bothLengths, eachHalf, readWhole, writeWhole, type Halves } from './avx-shared.ts'

type Width = 32 | 64

/** One bit an element: whether its mask has the top bit set. */
function chosenOf<V>(m: Backend<V>, [low, high]: Halves<V>, width: Width): V {
  const op = width === 32 ? 'i32x4.bitmask' : 'i64x2.bitmask'
  return m.or(m.vector(op, low), m.shl(m.vector(op, high), m.const(128 / width)))
}

/** Elements that are not chosen are read where the first that is stands, and dropped. */
function loadChosen<V>(
  m: Backend<V>, target: Operand, memory: Operand, chosen: V, width: Width,
): Halves<V> {
  const first = m.ctz(chosen)
  return eachHalf(m, target, (half) => {
    let result = m.vectorConst(0n)
    for (let lane = 0; lane < 128 / width; lane++) {
      const element = half * 128 / width + lane
      const wanted = m.bitOf(chosen, element)
      const place = m.select(wanted, m.const(element), first)
      const value = m.loadAt(memory, m.mul(place, m.const(width / 8)), width)
      result = m.withLane(result, width, lane, m.select(wanted, value, m.const(0)))
    }
    return result
  })
}

/** The last element is stored first: of two pages, both are known to be writable by then. */
function storeChosen<V>(
  m: Backend<V>, memory: Operand, source: Halves<V>, chosen: V, width: Width,
): void {
  m.when(chosen, () => m.probeAt(memory, m.mul(m.ctz(chosen), m.const(width / 8)), width))
  const lanes = 128 / width
  for (let element = memory.width / width - 1; element >= 0; element--) {
    m.when(m.bitOf(chosen, element), () => {
      const value = m.lane(source[element < lanes ? 0 : 1], width, element % lanes)
      m.storeAt(memory, m.const(element * width / 8), width, value)
    })
  }
}

function maskedMove(
  name: string, w: string, load: string, store: string, width: Width, feature: string,
): Definition {
  return define(name, {
    encodings: [
      ...bothLengths(`vex.66.0f38.${w} ${load} /r m`, 'VX HX MX', feature),
      ...bothLengths(`vex.66.0f38.${w} ${store} /r m`, 'MX HX VX', feature),
    ],
    execute(m, target, mask, source) {
      m.avxCheck()
      const chosen = chosenOf(m, readWhole(m, mask!), width)
      if (m.isMemory(target!)) {
        storeChosen(m, target!, readWhole(m, source!), chosen, width)
        return
      }
      m.when(chosen,
        () => writeWhole(m, target!, loadChosen(m, target!, source!, chosen, width)),
        () => writeWhole(m, target!, [m.vectorConst(0n), m.vectorConst(0n)]))
    },
  })
}

/** Replaces one element of a register; what lies above a shorter one stays for now. */
function replace<V>(
  m: Backend<V>, register: Operand, width: Width, element: number, value: V,
): void {
  const lane = element % (128 / width)
  if (register.width === 128) {
    m.writeVector(register, m.withLane(m.readVector(register), width, lane, value))
    return
  }
  const [low, high] = m.readHalves(register)
  if (element < 128 / width) m.writeHalves(register, m.withLane(low, width, lane, value), high)
  else m.writeHalves(register, low, m.withLane(high, width, lane, value))
}

/** `index` is the width of the indices, `width` that of the elements. */
function gather(name: string, w: string, opcode: string, index: Width, width: Width): Definition {
  const size = width === 32 ? 'd' : 'q'
  const rows = (['l0', 'l1'] as const).map((l) => {
    const longest = l === 'l0' ? 'x' : 'qq'
    // With indices and elements of two sizes the shorter ones fill half a vector.
    const target = width >= index ? longest : 'x'
    const indices = index >= width ? longest : 'x'
    return row(`vex.${l}.66.0f38.${w} ${opcode} /r m`,
      `V${target}`, `K${size}`, `T${indices}`, `H${target}`).cpuid('avx2')
  })
  return define(name, {
    encodings: rows,
    execute(m, target, memory, indices, mask) {
      m.avxCheck()
      const count = Math.min(target!.width / width, indices!.width / index)
      for (let element = 0; element < count; element++) {
        const lane = element % (128 / width)
        const half = element < 128 / width ? 0 : 1
        const sign = m.lane(readWhole(m, mask!)[half], width, lane)
        m.when(m.bitOf(sign, width - 1), () => {
          const at = element % (128 / index)
          const from = readWhole(m, indices!)[element < 128 / index ? 0 : 1]
          const offset = m.scaled(memory!, m.sx(m.lane(from, index, at), index))
          const value = m.loadAt(memory!, offset, width)
          replace(m, target!, width, element, value)
        })
        replace(m, mask!, width, element, m.const(0))
      }
      finish(m, target!, count * width)
      writeWhole(m, mask!, [m.vectorConst(0n), m.vectorConst(0n)])
    },
  })
}

/** What lies above the elements is cleared. */
function finish<V>(m: Backend<V>, target: Operand, bits: number): void {
  const [low, high] = readWhole(m, target)
  writeWhole(m, target, [bits < 128 ? m.vectorOf(m.lane(low, 64, 0)) : low, high])
}

export const avxMasked: readonly Definition[] = [
  maskedMove('vmaskmovps', 'w0', '2c', '2e', 32, 'avx'),
  maskedMove('vmaskmovpd', 'w0', '2d', '2f', 64, 'avx'),
  maskedMove('vpmaskmovd', 'w0', '8c', '8e', 32, 'avx2'),
  maskedMove('vpmaskmovq', 'w1', '8c', '8e', 64, 'avx2'),
  gather('vpgatherdd', 'w0', '90', 32, 32), gather('vpgatherdq', 'w1', '90', 32, 64),
  gather('vpgatherqd', 'w0', '91', 64, 32), gather('vpgatherqq', 'w1', '91', 64, 64),
  gather('vgatherdps', 'w0', '92', 32, 32), gather('vgatherdpd', 'w1', '92', 32, 64),
  gather('vgatherqps', 'w0', '93', 64, 32), gather('vgatherqpd', 'w1', '93', 64, 64),
]
