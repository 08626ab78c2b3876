/**
 * System instructions without operands that matter to the memory model: interrupts, system calls,
 * exits (AMD APM 3, chapter 4). Their meaning is services of cpu/system; those which may leave the
 * straight line end a block. RFLAGS and registers are in files of their own.
 */
import { define, type Definition, row } from '../definition.ts'
import { systemFlagInstructions } from './system-flags.ts'
import { systemRegisterInstructions } from './system-registers.ts'

/** A service without operands, of one encoding. */
function plain(name: string, pattern: string): Definition {
  return define(name, { encodings: [row(pattern)], service: true })
}

function ending(name: string, pattern: string, flags = ''): Definition {
  return define(name, { encodings: [row(pattern)], flags, service: true, endsBlock: true })
}

function privileged(name: string, pattern: string): Definition {
  return define(name, { encodings: [row(pattern).cpl0()], service: true, endsBlock: true })
}

export const int = define('int', {
  encodings: [row('cd', 'Ib')],
  service: true,
  endsBlock: true,
})
export const int3 = ending('int3', 'cc')
export const int1 = ending('int1', 'f1')
export const into = define('into', {
  encodings: [row('ce').not64()],
  service: true,
  endsBlock: true,
})
export const iret = ending('iret', 'cf', 'oszapc')

export const bound = define('bound', {
  encodings: [row('62 /r m', 'Gz', 'M').not64()],
  service: true,
})

export const ud0 = define('ud0', {
  encodings: [row('0f ff')],
  service: 'undefined',
  endsBlock: true,
})
export const ud1 = define('ud1', {
  encodings: [row('0f b9')],
  service: 'undefined',
  endsBlock: true,
})
export const ud2 = define('ud2', {
  encodings: [row('0f 0b')],
  service: 'undefined',
  endsBlock: true,
})

export const salc = define('salc', {
  encodings: [row('d6', 'AL').not64()],
  execute(m, al) {
    m.write(al!, m.neg(m.flag('cf')))
  },
})

export const hlt = privileged('hlt', 'f4')
export const cpuid = ending('cpuid', '0f a2')
export const vmmcall = define('vmmcall', {
  encodings: [row('0f 01 d9')],
  service: 'hypercall',
  endsBlock: true,
})
const vmcall = define('vmcall', {
  encodings: [row('0f 01 c1')],
  service: 'hypercall',
  endsBlock: true,
})

export const rdpmc = plain('rdpmc', '0f 33')

export const syscall = ending('syscall', '0f 05', 'oszapc')
export const sysret = ending('sysret', '0f 07', 'oszapc')
export const sysenter = ending('sysenter', '0f 34')
export const sysexit = ending('sysexit', '0f 35')

export const xsetbv = privileged('xsetbv', 'np 0f 01 d1')

export const systemInstructions: readonly Definition[] = [
  ...systemFlagInstructions, ...systemRegisterInstructions,
  int, int3, int1, into, iret, bound, ud0, ud1, ud2, salc,
  hlt, cpuid, vmmcall, vmcall, rdpmc, syscall, sysret, sysenter, sysexit, xsetbv,
]
