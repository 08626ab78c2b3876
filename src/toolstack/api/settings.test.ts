/**
 * Objects as configurations: the same as files of the same options.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadDomainConfig } from '../config/domain.ts'
import { ConfigError } from '../config/parser.ts'
import { configOfSettings } from './settings.ts'

test('an object is read as a file of the same options', () => {
  const { config } = loadDomainConfig('file', 'name="a"\ntype="pvh"\nkernel="/k"\nmemory=64\n' +
    'maxmem=128\nvcpus=2\nextra="quiet"\non_reboot="destroy"\ntsc_mode="native"\n')
  assert.deepEqual(configOfSettings({
    name: 'a', kernel: '/k', memory: 64, maxmem: 128, vcpus: 2, extra: 'quiet',
    on_reboot: 'destroy', tsc_mode: 'native',
  }), config)
})

test('strings may have what a file could not quote', () => {
  assert.equal(configOfSettings({ name: 'a', kernel: '/k', cmdline: `'"\\\n` }).commandLine,
    `'"\\\n`)
})

test('what is left out or undefined has its default', () => {
  const config = configOfSettings({ name: 'a', kernel: '/k', vcpus: 2, ...{ memory: undefined } })
  assert.deepEqual([config.memoryKib, config.maxVcpus, config.type], [32 * 1024, 2, 'pvh'])
})

test('what would be a warning in a file is an error', () => {
  const good = { name: 'a', kernel: '/k' }
  assert.throws(() => configOfSettings({ ...good, memroy: 1 }),
    new ConfigError(['no such option: memroy']))
  assert.throws(() => configOfSettings({ ...good, memory: 'much' as unknown as number }),
    new ConfigError(["parameter `memory' is not a valid number"]))
  assert.throws(() => configOfSettings({ ...good, cmdline: ['a'] as unknown as string }),
    new ConfigError(["parameter `cmdline' is a list but should be a single value"]))
  assert.throws(() => configOfSettings({ ...good, on_crash: 'shrug' }),
    new ConfigError(['Unknown on_crash action "shrug" specified']))
})

test('lists of lists are values too', () => {
  const { wishes } = configOfSettings({ name: 'a', kernel: '/k', vfb: [['a'], 'b'] })
  assert.deepEqual(wishes.map(({ option }) => option), ['vfb'])
})
