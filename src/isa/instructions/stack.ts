/**
 * The stack: PUSH, POP, PUSHA, POPA, ENTER, LEAVE (AMD APM 3).
 *
 * POP to segment registers, PUSHF and POPF are in system.ts.
 */
import { RBP, RSP } from '../../abi/x86/registers.ts'
import { type Definition, define, row } from '../definition.ts'

const push = define('push', {
  encodings: [
    row('50+r', 'Zv').default64(),
    row('68', 'Iz').default64(),
    row('6a', 'Ib').default64(),
    row('ff /6', 'Ev').default64(),
    row('06', 'ES').not64(),
    row('0e', 'CS').not64(),
    row('16', 'SS').not64(),
    row('1e', 'DS').not64(),
    row('0f a0', 'FS').default64(),
    row('0f a8', 'GS').default64(),
  ],
  execute(m, source) {
    m.push(m.operandSize, m.read(source!))
  },
})

const pop = define('pop', {
  encodings: [row('58+r', 'Zv').default64(), row('8f /0', 'Ev').default64().pops()],
  execute(m, target) {
    if (m.isMemory(target!)) {
      // The store may fault, and a fault must find the stack pointer as it was.
      const pointer = m.gpr(RSP, m.stackWidth)
      m.write(target!, m.loadStack(pointer, m.operandSize))
      m.setGpr(RSP, m.stackWidth, m.add(pointer, m.const(m.operandSize / 8)))
    } else {
      m.write(target!, m.pop(m.operandSize))
    }
  },
})

const pusha = define('pusha', {
  encodings: [row('60').not64()],
  execute(m) {
    const size = m.operandSize / 8
    const pointer = m.gpr(RSP, m.stackWidth)
    for (let index = 0; index < 8; index++) {
      const place = m.sub(pointer, m.const((index + 1) * size))
      m.storeStack(place, m.operandSize, m.gpr(index, m.operandSize))
    }
    m.setGpr(RSP, m.stackWidth, m.sub(pointer, m.const(8 * size)))
  },
})

const popa = define('popa', {
  encodings: [row('61').not64()],
  execute(m) {
    const size = m.operandSize / 8
    const pointer = m.gpr(RSP, m.stackWidth)
    const values = Array.from({ length: 8 }, (_, index) =>
      m.loadStack(m.add(pointer, m.const((7 - index) * size)), m.operandSize))
    values.forEach((value, index) => {
      if (index !== RSP) m.setGpr(index, m.operandSize, value)
    })
    m.setGpr(RSP, m.stackWidth, m.add(pointer, m.const(8 * size)))
  },
})

const enter = define('enter', {
  encodings: [row('c8', 'Iw', 'Ib').default64()],
  execute(m, space, nesting) {
    const size = m.operandSize / 8
    const level = m.and(m.immediate(nesting!), m.const(31))
    const pointer = m.gpr(RSP, m.stackWidth)
    const oldFrame = m.gpr(RBP, m.stackWidth)
    const frame = m.sub(pointer, m.const(size))
    // On a 16-bit stack ESP keeps its upper half, and EBP gets all of it.
    const whole = m.operandSize > m.stackWidth
      ? m.or(m.and(m.gpr(RSP, m.operandSize), m.const(0xffff_0000)), m.zx(frame, m.stackWidth))
      : frame
    m.storeStack(frame, m.operandSize, m.gpr(RBP, m.operandSize))
    m.when(m.isZero(m.isZero(level)), () => {
      for (let index = 1; index < 31; index++) {
        m.when(m.lessUnsigned(m.const(index), level), () => {
          const outer = m.loadStack(m.sub(oldFrame, m.const(index * size)), m.operandSize)
          m.storeStack(m.sub(frame, m.const(index * size)), m.operandSize, outer)
        })
      }
      m.storeStack(m.sub(frame, m.mul(level, m.const(size))), m.operandSize, whole)
    })
    const links = m.mul(level, m.const(size))
    const top = m.sub(m.sub(frame, links), m.zx(m.immediate(space!), 16))
    // The new top of the stack must be writable.
    m.storeStack(top, m.operandSize, m.loadStack(top, m.operandSize))
    m.setGpr(RBP, m.operandSize, whole)
    m.setGpr(RSP, m.stackWidth, top)
  },
})

const leave = define('leave', {
  encodings: [row('c9').default64()],
  execute(m) {
    const frame = m.gpr(RBP, m.stackWidth)
    const outer = m.loadStack(frame, m.operandSize)
    m.setGpr(RSP, m.stackWidth, m.add(frame, m.const(m.operandSize / 8)))
    m.setGpr(RBP, m.operandSize, outer)
  },
})

export const stack: readonly Definition[] = [push, pop, pusha, popa, enter, leave]
