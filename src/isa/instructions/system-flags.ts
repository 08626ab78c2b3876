/**
 * RFLAGS beyond arithmetic: CLI, STI, PUSHF, POPF, CLAC, STAC (AMD APM 3).
 *
 * Left to services: virtual-8086 mode, changes of what traps or checks every access, and interrupts
 * let in while one waits.
 */
import { Vector } from '../../abi/x86/control.ts'
import { RFLAGS } from '../../abi/x86/flags.ts'
import { RSP } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'
import { flagsFrom, flagsImage } from './flags.ts'

const IF_BIT = 9
const AC_BIT = 18

/** 1 when code at the present level may change IF. */
function mayChangeIf<V>(m: Backend<V>, flags: V): V {
  const iopl = m.and(m.shr(flags, m.const(12)), m.const(3))
  return m.isZero(m.lessUnsigned(iopl, m.system('cpl')))
}

/** Some of `mask` is set. */
function any<V>(m: Backend<V>, value: V, mask: number): V {
  return m.isZero(m.isZero(m.and(value, m.const(mask))))
}

export const cli = define('cli', {
  encodings: [row('fa')],
  service: true,
  execute(m) {
    const flags = m.system('systemFlags')
    m.faultIf(m.isZero(mayChangeIf(m, flags)), Vector.GP, 0)
    m.setSystem('systemFlags', m.and(flags, m.const(~RFLAGS.IF)))
  },
})

export const sti = define('sti', {
  encodings: [row('fb')],
  service: true,
  execute(m) {
    const flags = m.system('systemFlags')
    m.faultIf(m.isZero(mayChangeIf(m, flags)), Vector.GP, 0)
    m.when(m.isZero(m.bitOf(flags, IF_BIT)), () => {
      m.deferIf(m.system('windowWanted'))
      m.setSystem('systemFlags', m.or(flags, m.const(RFLAGS.IF)))
      m.setSystem('interruptShadow', m.const(1))
    })
  },
})

export const pushf = define('pushf', {
  encodings: [row('9c').default64()],
  service: true,
  execute(m) {
    const flags = m.system('systemFlags')
    m.deferIf(any(m, flags, RFLAGS.VM))
    m.push(m.operandSize, m.or(m.and(flags, m.const(~RFLAGS.RF)), flagsImage(m)))
  },
})

/** The bits outside the arithmetic flags that POPF may change. */
function changeable<V>(m: Backend<V>, flags: V): V {
  const always = m.operandSize === 16 ? RFLAGS.NT : RFLAGS.NT | RFLAGS.AC | RFLAGS.ID
  const zero = m.const(0)
  const interrupts = m.select(mayChangeIf(m, flags), m.const(RFLAGS.IF), zero)
  const level = m.select(m.isZero(m.system('cpl')), m.const(RFLAGS.IOPL), zero)
  return m.or(m.const(always), m.or(interrupts, level))
}

export const popf = define('popf', {
  encodings: [row('9d').default64()],
  flags: 'oszapc',
  service: true,
  execute(m) {
    const before = m.system('systemFlags')
    const pointer = m.gpr(RSP, m.stackWidth)
    const image = m.loadStack(pointer, m.operandSize)
    const mask = changeable(m, before)
    const after = m.or(m.and(before, m.not(mask)), m.and(image, mask))
    const changed = m.xor(before, after)
    // A trap, a breakpoint held off, and alignment checks are rare.
    m.deferIf(m.or(any(m, before, RFLAGS.VM | RFLAGS.RF | RFLAGS.TF), any(m, image, RFLAGS.TF)))
    m.deferIf(m.and(m.bitOf(changed, AC_BIT), m.isZero(m.isZero(m.system('cpl')))))
    const enabled = m.bitOf(m.and(changed, after), IF_BIT)
    m.deferIf(m.and(enabled, m.isZero(m.isZero(m.system('windowWanted')))))
    m.setGpr(RSP, m.stackWidth, m.add(pointer, m.const(m.operandSize / 8)))
    m.setSystem('systemFlags', after)
    m.setFlags(flagsFrom(m, image))
  },
})

/** AC lets the supervisor through SMAP; at CPL 0 nothing else depends on it. */
function alignmentFlag(name: string, pattern: string, on: boolean): Definition {
  return define(name, {
    encodings: [row(pattern)],
    service: true,
    execute(m) {
      m.faultIf(m.isZero(m.isZero(m.system('cpl'))), Vector.UD)
      const flags = m.system('systemFlags')
      m.setSystem('systemFlags',
        on ? m.or(flags, m.const(RFLAGS.AC)) : m.and(flags, m.const(~RFLAGS.AC)))
    },
  })
}

export const clac = alignmentFlag('clac', 'np 0f 01 ca', false)
export const stac = alignmentFlag('stac', 'np 0f 01 cb', true)

export const systemFlagInstructions: readonly Definition[] = [cli, sti, pushf, popf, clac, stac]
