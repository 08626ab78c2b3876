/**
 * Segment registers, descriptor tables and far transfers (AMD APM 3, chapters 3 and 4). All are
 * services of cpu/system: they read descriptors and may change the processor's mode.
 */
import { define, type Definition, row } from '../definition.ts'

export const movToSegment = define('mov-to-segment', {
  encodings: [row('8e /r', 'Sw', 'Ew')],
  service: true,
  endsBlock: true,
})
export const movFromSegment = define('mov-from-segment', {
  encodings: [row('8c /r m', 'Mw', 'Sw'), row('8c /r r', 'Rv', 'Sw')],
  service: true,
  execute(m, target, source) { m.write(target!, m.read(source!)) },
})
export const popSegment = define('pop-segment', {
  encodings: [
    row('07', 'ES').not64(),
    row('17', 'SS').not64(),
    row('1f', 'DS').not64(),
    row('0f a1', 'FS').default64(),
    row('0f a9', 'GS').default64(),
  ],
  service: true,
  endsBlock: true,
})

function farPointer(name: string, pattern: string, everywhere: boolean): Definition {
  const encoding = row(pattern, 'Gv', 'Mp')
  return define(name, {
    encodings: [everywhere ? encoding : encoding.not64()],
    service: 'load-far-pointer',
    endsBlock: true,
  })
}

export const les = farPointer('les', 'c4 /r m', false)
export const lds = farPointer('lds', 'c5 /r m', false)
export const lss = farPointer('lss', '0f b2 /r m', true)
export const lfs = farPointer('lfs', '0f b4 /r m', true)
export const lgs = farPointer('lgs', '0f b5 /r m', true)

const jmpFar = define('jmp-far', {
  encodings: [row('ea', 'Ap').not64(), row('ff /5 m', 'Mp')],
  service: true,
  endsBlock: true,
})
const callFar = define('call-far', {
  encodings: [row('9a', 'Ap').not64(), row('ff /3 m', 'Mp')],
  service: true,
  endsBlock: true,
})
export const retFar = define('ret-far', {
  encodings: [row('cb'), row('ca', 'Iw')],
  service: true,
  endsBlock: true,
})

function table(name: string, pattern: string, privileged: boolean): Definition {
  const encoding = row(pattern, 'Ms')
  return define(name, { encodings: [privileged ? encoding.cpl0() : encoding], service: true })
}

export const sgdt = table('sgdt', '0f 01 /0 m', false)
export const sidt = table('sidt', '0f 01 /1 m', false)
export const lgdt = table('lgdt', '0f 01 /2 m', true)
export const lidt = table('lidt', '0f 01 /3 m', true)

export const sldt = define('sldt', {
  encodings: [
    row('0f 00 /0 m', 'Mw').protectedOnly(), row('0f 00 /0 r', 'Rv').protectedOnly(),
  ],
  service: true,
})
export const str = define('str', {
  encodings: [
    row('0f 00 /1 m', 'Mw').protectedOnly(), row('0f 00 /1 r', 'Rv').protectedOnly(),
  ],
  service: true,
})
export const lldt = define('lldt', {
  encodings: [row('0f 00 /2', 'Ew').protectedOnly().cpl0()],
  service: true,
})
export const ltr = define('ltr', {
  encodings: [row('0f 00 /3', 'Ew').protectedOnly().cpl0()],
  service: true,
})
export const verr = define('verr', {
  encodings: [row('0f 00 /4', 'Ew').protectedOnly()],
  flags: 'z',
  service: true,
})
export const verw = define('verw', {
  encodings: [row('0f 00 /5', 'Ew').protectedOnly()],
  flags: 'z',
  service: true,
})
export const lar = define('lar', {
  encodings: [row('0f 02 /r', 'Gv', 'Ew').protectedOnly()],
  flags: 'z',
  service: true,
})
export const lsl = define('lsl', {
  encodings: [row('0f 03 /r', 'Gv', 'Ew').protectedOnly()],
  flags: 'z',
  service: true,
})
export const arpl = define('arpl', {
  encodings: [row('63 /r', 'Ew', 'Gw').not64().protectedOnly()],
  flags: 'z',
  service: true,
})

export const segmentInstructions: readonly Definition[] = [
  movToSegment, movFromSegment, popSegment, les, lds, lss, lfs, lgs, jmpFar, callFar, retFar,
  sgdt, sidt, lgdt, lidt, sldt, str, lldt, ltr, verr, verw, lar, lsl, arpl,
]
