/**
 * Domains that start with the machine, on a hypervisor that only keeps books.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bug } from '../../base/assert.ts'
import { MemoryFile } from '../../storage/memory-file.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { FakeControl, FakeHost } from '../domain/fake-control.ts'
import { LocalLibxl } from '../domain/local-libxl.ts'
import { sampleDisk } from '../pygrub/sample-disk.ts'
import { autostart } from './autostart.ts'

const good = (name: string): string => `name="${name}"\ntype="pvh"\nkernel="k"\nmemory=64\n`

function world(files: Readonly<Record<string, string>>, global = '') {
  const host = new FakeHost()
  host.files.set('/auto/k', sampleElf())
  const libxl = new LocalLibxl(new FakeControl(), new Xenstored(), host)
  const log: string[] = []
  const start = (): Promise<void> => autostart(libxl, {
    names: async () => Object.keys(files),
    read: async (name) => {
      if (files[name] === 'unreadable') throw new Error('Permission denied')
      return files[name] ?? ''
    },
    globalConfig: async () => ({ path: 'xl.conf', text: global }),
    absolutePath: (path) => `/auto/${path}`,
    log: (message) => void log.push(message),
  })
  return { libxl, host, log, start }
}

test('domains are made in the order of their files, and paths begin at the folder', async () => {
  const { libxl, log, start } = world({ 'b.cfg': good('second'), 'a.cfg': good('first') })
  await start()
  assert.deepEqual(log, ['autostart: a.cfg: domain 1', 'autostart: b.cfg: domain 2'])
  assert.equal((await libxl.spec(1))?.kernel, '/auto/k')
  assert.equal((await libxl.list()).at(-1)?.name, 'second')
})

test('one that cannot start keeps no other back', async () => {
  const { log, start } = world({
    'a.cfg': 'nonsense', 'b.cfg': good('x').replace('pvh', 'hvm'), 'c.cfg': 'unreadable',
    'd.cfg': good('d').replace('"k"', '"missing"'), 'e.cfg': good('e'), 'f.cfg': good('e'),
  })
  await start()
  assert.match(log[0] ?? '', /^autostart: a\.cfg: .*syntax error/s)
  assert.match(log[1] ?? '', /^autostart: b\.cfg: .*only PVH domains/)
  assert.equal(log[2], 'autostart: c.cfg: Permission denied')
  assert.match(log[3] ?? '', /^autostart: d\.cfg: failed to open kernel/)
  assert.equal(log[4], 'autostart: e.cfg: domain 2')
  assert.match(log[5] ?? '', /^autostart: f\.cfg: Domain with name "e" already exists/)
})

test('one whose boot loader waits keeps no other back', async () => {
  const { libxl, host, log, start } = world({
    'a.cfg': good('a').replace('kernel', 'bootloader="pygrub"\ndisk=["d,raw,xvda,w"]\n#'),
    'b.cfg': good('b'),
  })
  const disk = sampleDisk({ k: sampleElf() }, { 'grub.cfg': 'menuentry "k" {\nlinux /k\n}\n' })
  host.images.files.files.set('/auto/d', new MemoryFile('/auto/d', Uint8Array.from(disk)))
  const started = start()
  while (log.length === 0) await host.pass(0)
  assert.deepEqual(log, ['autostart: b.cfg: domain 2'])
  assert.deepEqual((await libxl.list()).map(({ name }) => name), ['Domain-0', 'a', 'b'])
  while (log.length === 1) await host.pass(1000)
  await started
  assert.deepEqual(log.slice(1), ['autostart: a.cfg: domain 1'])
})

test('xl.conf holds for them too', async () => {
  const { libxl, start } = world({ 'a.cfg': good('a') }, 'max_grant_frames=40\n')
  await start()
  assert.equal((await libxl.spec(1))?.maxGrantFrames, 40)
})

test('a folder that cannot be read is logged', async () => {
  const log: string[] = []
  const folder = {
    names: async () => {
      throw new Error('Permission denied')
    },
    globalConfig: async () => ({ path: 'xl.conf', text: '' }),
    read: async () => '', absolutePath: (path: string) => path,
    log: (message: string) => void log.push(message),
  }
  await autostart(world({}).libxl, folder)
  assert.deepEqual(log, ['autostart: the folder: Permission denied'])
})

test('a mistake of ours is not hidden', async () => {
  const { libxl, start } = world({ 'a.cfg': good('a') })
  libxl.create = async () => {
    throw new Bug('a mistake')
  }
  await assert.rejects(start(), Bug)
})
