/**
 * Control and debug registers, caches and translations, ports, extended state (AMD APM 3, chapter
 * 4; APM 4 for XSAVE). Services of cpu/system.
 */
import type { StateTransfer } from '../backend.ts'
import { define, type Definition, row, type Row } from '../definition.ts'

/** CR3 is loaded at each switch between processes. Regions end before it, as before INVLPG. */
export const movToControl = define('mov-to-control', {
  encodings: [row('0f 22 /r', 'Cy', 'Ry').force64().cpl0()],
  service: true,
  interpreted: true,
  endsBlock: true,
  execute(m, target, source) {
    m.deferIf(m.long ? m.system('cpl') : m.const(1))
    m.loadSpace(target!, m.read(source!))
  },
})
export const movFromDebug = define('mov-from-debug', {
  encodings: [row('0f 21 /r', 'Ry', 'Dy').force64().cpl0()],
  service: true,
})
export const movToDebug = define('mov-to-debug', {
  encodings: [row('0f 23 /r', 'Dy', 'Ry').force64().cpl0()],
  service: true,
  endsBlock: true,
})
export const smsw = define('smsw', {
  encodings: [row('0f 01 /4 m', 'Mw'), row('0f 01 /4 r', 'Rv')],
  service: true,
})
export const lmsw = define('lmsw', {
  encodings: [row('0f 01 /6', 'Ew').cpl0()],
  service: true,
  endsBlock: true,
})
export const clts = define('clts', {
  encodings: [row('0f 06').cpl0()],
  service: true,
  endsBlock: true,
})

/** Regions end before it: it may forget what they know. */
export const invlpg = define('invlpg', {
  encodings: [row('0f 01 /7 m', 'Mb').cpl0()],
  service: true,
  interpreted: true,
  endsBlock: true,
  execute(m, place) {
    m.deferIf(m.long ? m.system('cpl') : m.const(1))
    m.forgetPage(place!)
  },
})
export const invpcid = define('invpcid', {
  encodings: [
    row('66 0f 38 82 /r m', 'Gq', 'M').only64().cpl0(),
    row('66 0f 38 82 /r m', 'Gd', 'M').not64().cpl0(),
  ],
  service: true,
  endsBlock: true,
})
export const invd = define('invd', {
  encodings: [row('0f 08').cpl0()],
  service: 'cache-flush',
})
export const wbinvd = define('wbinvd', {
  encodings: [row('nfx 0f 09').cpl0()],
  service: 'cache-flush',
})

/** Nothing is cached; but the address must be one that could be read. */
function lineFlush(name: string, encoding: Row): Definition {
  return define(name, {
    encodings: [encoding],
    execute(m, line) {
      m.read(line!)
    },
  })
}

export const clflush = lineFlush('clflush', row('np 0f ae /7 m', 'Mb'))
export const clflushopt = lineFlush('clflushopt', row('66 0f ae /7 m', 'Mb'))

export const portIn = define('in', {
  encodings: [
    row('e4', 'AL', 'Ib'), row('e5', 'eAX', 'Ib'), row('ec', 'AL', 'DX'), row('ed', 'eAX', 'DX'),
  ],
  service: true,
  endsBlock: true,
})
export const portOut = define('out', {
  encodings: [
    row('e6', 'Ib', 'AL'), row('e7', 'Ib', 'eAX'), row('ee', 'DX', 'AL'), row('ef', 'DX', 'eAX'),
  ],
  service: true,
  endsBlock: true,
})
const portIns = define('ins', {
  encodings: [row('6c', 'Yb', 'DX').string('rep'), row('6d', 'Yz', 'DX').string('rep')],
  service: true,
  endsBlock: true,
})
const portOuts = define('outs', {
  encodings: [row('6e', 'DX', 'Xb').string('rep'), row('6f', 'DX', 'Xz').string('rep')],
  service: true,
  endsBlock: true,
})

/** A region ends before it: its locals would have to be saved, and loaded after it. */
function stateTransfer(name: StateTransfer, encoding: Row): Definition {
  return define(name, {
    encodings: [encoding],
    service: true,
    interpreted: true,
    execute(m, area) {
      if (m.long) m.transferState(name, area!)
      else m.deferIf(m.const(1))
    },
  })
}

export const fxsave = stateTransfer('fxsave', row('np 0f ae /0 m', 'M').cpuid('fxsr'))
export const fxrstor = stateTransfer('fxrstor', row('np 0f ae /1 m', 'M').cpuid('fxsr'))
export const xsave = stateTransfer('xsave', row('np 0f ae /4 m', 'M'))
export const xrstor = stateTransfer('xrstor', row('np 0f ae /5 m', 'M'))
export const xsaveopt = stateTransfer('xsaveopt', row('np 0f ae /6 m', 'M'))
export const xsavec = stateTransfer('xsavec', row('np 0f c7 /4 m', 'M'))
export const xsaves = stateTransfer('xsaves', row('np 0f c7 /5 m', 'M'))
export const xrstors = stateTransfer('xrstors', row('np 0f c7 /3 m', 'M'))

export const controlInstructions: readonly Definition[] = [
  movToControl, movFromDebug, movToDebug, smsw, lmsw, clts,
  invlpg, invpcid, invd, wbinvd, clflush, clflushopt, portIn, portOut, portIns, portOuts,
  fxsave, fxrstor, xsave, xrstor, xsaveopt, xsavec, xsaves, xrstors,
]
