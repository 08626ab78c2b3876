/**
 * System instructions without operands that matter to the memory model: flags, interrupts, system
 * calls, model-specific registers, time, exits (AMD APM 3, chapter 4). Their meaning is services of
 * cpu/system; those which may leave the straight line end a block.
 */
import { define, type Definition, row } from '../definition.ts'

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

export const cli = plain('cli', 'fa')
export const sti = ending('sti', 'fb')

export const pushf = define('pushf', {
  encodings: [row('9c').default64()],
  service: true,
})

export const popf = define('popf', {
  encodings: [row('9d').default64()],
  flags: 'oszapc',
  service: true,
  endsBlock: true,
})

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
export const pause = ending('pause', 'f3 90')
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

export const rdtsc = plain('rdtsc', '0f 31')
export const rdtscp = plain('rdtscp', '0f 01 f9')
export const rdpmc = plain('rdpmc', '0f 33')
export const rdpid = define('rdpid', {
  encodings: [row('f3 0f c7 /7 r', 'Rq').only64(), row('f3 0f c7 /7 r', 'Rd').not64()],
  service: true,
})
export const rdmsr = privileged('rdmsr', '0f 32')
export const wrmsr = privileged('wrmsr', '0f 30')

export const syscall = ending('syscall', '0f 05', 'oszapc')
export const sysret = ending('sysret', '0f 07', 'oszapc')
export const sysenter = ending('sysenter', '0f 34')
export const sysexit = ending('sysexit', '0f 35')

export const swapgs = define('swapgs', {
  encodings: [row('0f 01 f8').only64().cpl0()],
  service: true,
})
export const clac = ending('clac', 'np 0f 01 ca')
export const stac = ending('stac', 'np 0f 01 cb')

export const rdfsbase = define('rdfsbase', {
  encodings: [row('f3 0f ae /0 r', 'Ry').only64()],
  service: true,
})
export const rdgsbase = define('rdgsbase', {
  encodings: [row('f3 0f ae /1 r', 'Ry').only64()],
  service: true,
})
export const wrfsbase = define('wrfsbase', {
  encodings: [row('f3 0f ae /2 r', 'Ry').only64()],
  service: true,
})
export const wrgsbase = define('wrgsbase', {
  encodings: [row('f3 0f ae /3 r', 'Ry').only64()],
  service: true,
})

export const xgetbv = plain('xgetbv', 'np 0f 01 d0')
export const xsetbv = privileged('xsetbv', 'np 0f 01 d1')

export const systemInstructions: readonly Definition[] = [
  cli, sti, pushf, popf, int, int3, int1, into, iret, bound, ud0, ud1, ud2, salc,
  hlt, pause, cpuid, vmmcall, vmcall, rdtsc, rdtscp, rdpmc, rdpid, rdmsr, wrmsr,
  syscall, sysret, sysenter, sysexit, swapgs, clac, stac,
  rdfsbase, rdgsbase, wrfsbase, wrgsbase, xgetbv, xsetbv,
]
