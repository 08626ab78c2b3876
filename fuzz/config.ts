/**
 * Fuzz target: any text as an xl.cfg gives a configuration or ConfigError, and soon; so do virtual
 * nodes, and items of `vif=` and `disk=` in their own ways.
 *
 * `node fuzz/config.ts [runs] [seed]`; short by default. Words of the grammar are mixed with noise,
 * for noise alone never gets past the scanner.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DiskSpecError, parseDisk } from '../src/toolstack/config/disk.ts'
import { loadDomainConfig } from '../src/toolstack/config/domain.ts'
import { KNOWN_OPTIONS } from '../src/toolstack/config/options.ts'
import { ConfigError } from '../src/toolstack/config/parser.ts'
import { parseVif, VifError } from '../src/toolstack/config/vif.ts'

const word = fc.oneof(
  fc.constantFrom(...KNOWN_OPTIONS),
  fc.constantFrom('=', '+=', '[', ']', ',', ';', '\n', '# c\n', ' ', '"a"', '\'b\'', '"\\', '\\'),
  fc.constantFrom('0', '128', '0x80', '07', '9e9', '1fx', '"-1"', '"native"', '"destroy"', '"pvh"'),
  fc.string({ maxLength: 6, unit: 'binary' }),
)
const line = fc.tuple(fc.constantFrom(...KNOWN_OPTIONS), fc.constantFrom('=', '+='), word)
  .map((parts) => `${parts.join('')}\n`)
const text = fc.array(fc.oneof(word, line), { maxLength: 60 }).map((parts) => parts.join(''))

const item = fc.array(fc.oneof(
  fc.tuple(
    fc.constantFrom('mac', 'bridge', 'script', 'rate', 'mtu', 'devid', 'forward', 'capture', 'type',
      'format', 'vdev', 'access', 'target', 'backendtype', 'sector-size', 'discard', 'trusted'),
    fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('10Mb/s@20ms', '0', '65536', 'xvda1',
      'tcp:1:2', '00:16:3e:0:0:1', 'raw', 'w', '/dev/loop0', 'hdc:cdrom')),
  ).map((parts) => parts.join('=')),
  fc.constantFrom('tap2:', 'vhd:', 'file:', 'phy:', '/a', 'qcow2', 'xvdb', 'r', 'cdrom', ''),
  fc.string({ maxLength: 6 }),
), { maxLength: 6 }).map((parts) => parts.join(','))

/** Throws unless `text` is an interface and a disk, or refused as such. */
function tryItem(text: string): void {
  for (const [parse, error] of [
    [() => parseVif(text, () => {}), VifError], [() => parseDisk(text), DiskSpecError],
  ] as const) {
    try {
      parse()
    } catch (thrown) {
      assert(thrown instanceof error, String(thrown))
    }
  }
}

const vnode = fc.array(fc.tuple(
  fc.constantFrom('pnode', 'size', 'vcpus', 'vdistances', 'x'),
  fc.constantFrom('=', ' = ', '==', ''),
  fc.oneof(
    fc.constantFrom('0', '1', '64', '0-1', '2-3,5', '3-0', '0-4095', '10,20', '20,10', '1e9'),
    fc.string({ maxLength: 4, unit: fc.constantFrom(...'0123,-= xa') })),
).map((parts) => `"${parts.join('')}"`), { maxLength: 5 }).map((items) => `[${items.join(',')}]`)
const vnuma = fc.array(vnode, { maxLength: 20 })
  .map((nodes) => `name="a"\ntype="pvh"\nkernel="k"\nvnuma=[${nodes.join(',')}]\n`)

/** Throws unless `source` is dealt with in one of the two ways. */
export function tryConfig(source: string): void {
  try {
    const { config } = loadDomainConfig('fuzz.cfg', source)
    assert(config.memoryKib >= 0 && config.memoryKib <= config.maxMemoryKib)
    assert(config.vcpus >= 1 && config.vcpus <= config.maxVcpus)
  } catch (error) {
    assert(error instanceof ConfigError, String(error))
    assert(error.lines.length > 0)
  }
}

export function fuzzConfig(runs: number, seed?: number): void {
  const options = { numRuns: runs, ...seed === undefined ? {} : { seed } }
  fc.assert(fc.property(text, tryConfig), options)
  fc.assert(fc.property(item, tryItem), options)
  fc.assert(fc.property(vnuma, tryConfig), options)
  // What is nested or long must not exhaust the stack or take quadratic time.
  for (const part of ['[', '["a",', 'a=[', ';', '"', '\\', 'a', '#\n', 'a=1\n']) {
    tryConfig(`a=${part.repeat(100_000)}`)
  }
  tryConfig(`name="a"\nkernel="k"\nvnuma=[${'["vcpus=0-99"],'.repeat(20_000)}]\n`)
}

if (import.meta.main) {
  const [runs = '2000', seed] = process.argv.slice(2)
  fuzzConfig(Number(runs), seed === undefined ? undefined : Number(seed))
  console.log(`config: ${runs} runs`)
}
