/**
 * Registers of the system that are only read or set: segment bases, the MSRs that hold them, the
 * time stamp counter, XCR0, control registers read; and PAUSE (AMD APM 3).
 *
 * Left to services: all other MSRs, but for an EOI of the x2APIC that is only noted; XINUSE; the
 * last of some PAUSEs, with which the caller is told of a program that waits for another.
 */
import { CR4, Vector } from '../../abi/x86/control.ts'
import { MSR } from '../../abi/x86/msr.ts'
import { RAX, RCX, RDX } from '../../abi/x86/registers.ts'
import type { Backend, SystemField } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'

function isTrue<V>(m: Backend<V>, value: V): V {
  return m.isZero(m.isZero(value))
}

function requireCpl0<V>(m: Backend<V>): void {
  m.faultIf(isTrue(m, m.system('cpl')), Vector.GP, 0)
}

/** 1 when a bit of CR4 is clear. */
function without<V>(m: Backend<V>, bit: number): V {
  return m.isZero(m.and(m.system('cr4'), m.const(bit)))
}

function isCanonical<V>(m: Backend<V>, address: V): V {
  return m.equal(m.sx(address, 48), address)
}

function setEdxEax<V>(m: Backend<V>, value: V): void {
  m.setGpr(RAX, 32, value)
  m.setGpr(RDX, 32, m.shr(value, m.const(32)))
}

export const swapgs = define('swapgs', {
  encodings: [row('0f 01 f8').only64().cpl0()],
  service: true,
  execute(m) {
    requireCpl0(m)
    const base = m.system('gsBase')
    m.setSystem('gsBase', m.system('kernelGsBase'))
    m.setSystem('kernelGsBase', base)
  },
})

function readBase(name: string, pattern: string, field: SystemField): Definition {
  return define(name, {
    encodings: [row(pattern, 'Ry').only64()],
    service: true,
    execute(m, target) {
      m.faultIf(without(m, CR4.FSGSBASE), Vector.UD)
      m.write(target!, m.system(field))
    },
  })
}

function writeBase(name: string, pattern: string, field: SystemField): Definition {
  return define(name, {
    encodings: [row(pattern, 'Ry').only64()],
    service: true,
    execute(m, source) {
      m.faultIf(without(m, CR4.FSGSBASE), Vector.UD)
      const base = m.read(source!)
      m.faultIf(m.isZero(isCanonical(m, base)), Vector.GP, 0)
      m.setSystem(field, base)
    },
  })
}

export const rdfsbase = readBase('rdfsbase', 'f3 0f ae /0 r', 'fsBase')
export const rdgsbase = readBase('rdgsbase', 'f3 0f ae /1 r', 'gsBase')
export const wrfsbase = writeBase('wrfsbase', 'f3 0f ae /2 r', 'fsBase')
export const wrgsbase = writeBase('wrgsbase', 'f3 0f ae /3 r', 'gsBase')

/** The MSRs that switches between threads touch. */
const BASES: readonly (readonly [number, SystemField])[] = [
  [MSR.FS_BASE, 'fsBase'], [MSR.GS_BASE, 'gsBase'], [MSR.KERNEL_GS_BASE, 'kernelGsBase'],
]

/** Which of BASES RCX names: a value for each, 0 or 1. */
function chosenBase<V>(m: Backend<V>): V[] {
  const index = m.gpr(RCX, 32)
  return BASES.map(([number]) => m.equal(index, m.const(number)))
}

/** Leaves to the service what none of `known` is true of, and user code. */
function deferUnless<V>(m: Backend<V>, known: readonly V[]): void {
  const any = known.reduce((some, each) => m.or(some, each))
  m.deferIf(m.or(m.isZero(any), isTrue(m, m.system('cpl'))))
}

export const rdmsr = define('rdmsr', {
  encodings: [row('0f 32').cpl0()],
  service: true,
  endsBlock: true,
  execute(m) {
    const chosen = chosenBase(m)
    deferUnless(m, chosen)
    setEdxEax(m, BASES.map(([, field]) => m.system(field))
      .reduce((other, base, i) => m.select(chosen[i]!, base, other)))
  },
})

export const wrmsr = define('wrmsr', {
  encodings: [row('0f 30').cpl0()],
  service: true,
  endsBlock: true,
  execute(m) {
    const chosen = chosenBase(m)
    const value = m.or(m.shl(m.gpr(RDX, 32), m.const(32)), m.gpr(RAX, 32))
    const isEoi = m.equal(m.gpr(RCX, 32), m.const(MSR.X2APIC_EOI))
    const isQuiet = m.and(m.and(isEoi, m.isZero(value)), m.system('quietEoi'))
    deferUnless(m, [...chosen, isQuiet])
    m.faultIf(m.isZero(isCanonical(m, value)), Vector.GP, 0)
    BASES.forEach(([, field], i) => m.when(chosen[i]!, () => m.setSystem(field, value)))
    m.when(isQuiet, () => m.setSystem('quietEoi', m.const(0)))
  },
})

function readTsc<V>(m: Backend<V>): void {
  m.faultIf(m.and(isTrue(m, m.system('cpl')), m.isZero(without(m, CR4.TSD))), Vector.GP, 0)
  setEdxEax(m, m.add(m.tsc(), m.system('tscOffset')))
}

export const rdtsc = define('rdtsc', {
  encodings: [row('0f 31')],
  service: true,
  execute(m) { readTsc(m) },
})

export const rdtscp = define('rdtscp', {
  encodings: [row('0f 01 f9')],
  service: true,
  execute(m) {
    readTsc(m)
    m.setGpr(RCX, 32, m.system('tscAux'))
  },
})

export const rdpid = define('rdpid', {
  encodings: [row('f3 0f c7 /7 r', 'Rq').only64(), row('f3 0f c7 /7 r', 'Rd').not64()],
  service: true,
  execute(m, target) { m.write(target!, m.zx(m.system('tscAux'), 32)) },
})

export const xgetbv = define('xgetbv', {
  encodings: [row('np 0f 01 d0')],
  service: true,
  execute(m) {
    m.deferIf(m.or(isTrue(m, m.gpr(RCX, 32)), without(m, CR4.OSXSAVE)))
    setEdxEax(m, m.system('xcr0'))
  },
})

export const movFromControl = define('mov-from-control', {
  encodings: [row('0f 20 /r', 'Ry', 'Cy').force64().cpl0()],
  service: true,
  execute(m, target, source) {
    requireCpl0(m)
    m.write(target!, m.read(source!))
  },
})

export const pause = define('pause', {
  encodings: [row('f3 90')],
  service: true,
  execute(m) {
    const left = m.system('pausesLeft')
    m.deferIf(m.isZero(left))
    m.setSystem('pausesLeft', m.sub(left, m.const(1)))
  },
})

export const systemRegisterInstructions: readonly Definition[] = [
  swapgs, rdfsbase, rdgsbase, wrfsbase, wrgsbase, rdmsr, wrmsr, rdtsc, rdtscp, rdpid, xgetbv,
  movFromControl, pause,
]
