/** What real xl 4.17 says of the same settings, and libxl tells a shim. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createJson } from '../cli/config-json.ts'
import { type DomainConfig, loadDomainConfig, refusalOf } from '../config/domain.ts'
import { shimCommandLine } from './pvshim.ts'
import { specOf } from './spec.ts'

function configOf(...lines: string[]): DomainConfig {
  const text = ['name="a"', 'kernel="vmlinuz"', ...lines].join('\n')
  return loadDomainConfig('a.cfg', `${text}\n`).config
}

test('a dry run shows a shim as libxl has it', () => {
  const json = createJson(configOf('type="pvh"', 'pvshim=1', 'pvshim_path="/in/xen-shim"',
    'pvshim_extra="loglvl=all guest_loglvl=all"'))
  assert.match(json, new RegExp(`
        "type.pvh": {
            "pvshim": "True",
            "pvshim_path": "/in/xen-shim",
            "pvshim_extra": "loglvl=all guest_loglvl=all"
        },
`))
})

test('without the wish there is none, nor for other types', () => {
  assert.equal(configOf('type="pvh"', 'pvshim_path="/in/xen-shim"').pvshim, undefined)
  const pv = configOf('type="pv"', 'pvshim=1')
  assert.equal(pv.pvshim, undefined)
  assert.match(refusalOf(pv) ?? '', /type="pvh", which runs PV kernels with pvshim=1/)
})

test('its path is found from elsewhere, and the usual command line can be added to', () => {
  const config = configOf('type="pvh"', 'pvshim=1', 'pvshim_path="shim"')
  const spec = specOf(config, (path) => `/w/${path}`)
  assert('pvshim' in spec)
  assert.equal(spec.pvshim?.path, '/w/shim')
  assert.equal(shimCommandLine({}), 'pv-shim console=xen,pv')
  assert.equal(shimCommandLine({ extra: 'loglvl=all' }), 'pv-shim console=xen,pv loglvl=all')
  assert.equal(shimCommandLine({ cmdline: 'pv-shim', extra: 'a b' }), 'pv-shim a b')
})
