/**
 * pvnetboot: which files it asks for, and what becomes of them.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { bytesOf, text } from '../../network/nat/fake-guest.ts'
import { MemoryFiles } from '../../storage/memory-file.ts'
import type { BootFiles } from '../pygrub/boot.ts'
import { type NetbootDefaults, type NetbootSource, runPvnetboot } from './pvnetboot.ts'

const NOTHING: NetbootDefaults = {
  kernel: undefined, ramdisk: undefined, args: 'quiet', limitBytes: 1 << 20,
}

/** A world with these files, by path or URL. */
class World implements NetbootSource {
  readonly asked: string[] = []
  readonly images = { files: new MemoryFiles(), decompressor: {} as never }
  readonly #files: Readonly<Record<string, string>>

  constructor(files: Readonly<Record<string, string>>) {
    this.#files = files
  }

  async readFile(name: string): Promise<Uint8Array> {
    this.asked.push(name)
    const content = this.#files[name]
    if (content === undefined) throw new Error('No such file or directory')
    return bytesOf(content)
  }

  fetchFile(url: string): Promise<Uint8Array> {
    return this.readFile(url)
  }

  async boot(words: string, more: Partial<NetbootDefaults> = {}): Promise<readonly string[]> {
    return texts(await runPvnetboot(this, words.split(' ').filter(Boolean),
      { ...NOTHING, ...more }))
  }
}

function texts({ kernel, ramdisk, args }: BootFiles): readonly string[] {
  return [text(kernel), ramdisk ? text(ramdisk) : '-', args]
}

test('kernel and ramdisk are fetched from below the location', async () => {
  const world = new World({ 'http://h/debian/linux': 'K', 'http://h/debian/initrd.gz': 'R' })
  assert.deepEqual(await world.boot(
    '--location http://h/debian/ --kernel=linux --ramdisk=/initrd.gz --args auto'),
  ['K', 'R', 'auto'])
})

test('what the configuration names holds unless options do', async () => {
  const world = new World({ 'tftp://1.2.3.4/k': 'K', 'tftp://1.2.3.4/r': 'R' })
  assert.deepEqual(await world.boot('--location=tftp://1.2.3.4', { kernel: 'k', ramdisk: 'r' }),
    ['K', 'R', 'quiet'])
})

test('without names, media of distributions are known; a ramdisk may be missing', async () => {
  const world = new World({ '/srv/isolinux/vmlinuz': 'K' })
  assert.deepEqual(await world.boot('--location /srv'), ['K', '-', 'quiet'])
  assert.equal(world.asked[0], '/srv/images/xen/vmlinuz')
})

test('without a location, names are whole', async () => {
  const world = new World({ 'https://h/k': 'K', '/r': 'R' })
  assert.deepEqual(await world.boot('--kernel=https://h/k --ramdisk=file:///r -q'),
    ['K', 'R', 'quiet'])
})

test('a location may be an image of a file system', async () => {
  const world = new World({})
  const file = join(import.meta.dirname, '../../../fuzz/samples/iso.img.gz')
  await world.images.files.create('/cd.iso')
  const image = await world.images.files.open('/cd.iso')
  await image.write(0, new Uint8Array(gunzipSync(readFileSync(file))))
  await image.close()
  const [kernel, ramdisk] = await world.boot(
    '--location /cd.iso --kernel vmlinuz --ramdisk boot/grub/grub.cfg')
  assert.deepEqual([kernel?.length, ramdisk], [45_000, 'set default=0\n'])
  await assert.rejects(world.boot('--location /cd.iso --kernel none'), /Cannot get kernel/)
  assert.deepEqual(world.asked, [])
})

const refusals: readonly [string, string, RegExp][] = [
  ['nothing to go by', '', /^NetbootError: You should at least specify/],
  ['an unknown option', '--menu', /unknown option '--menu'/],
  ['a scheme that is not spoken', '--location nfs:host:/srv', /Unsupported location: nfs:host/],
  ['a kernel that is not there', '--location /srv', /Cannot get kernel from location: \/srv/],
  ['a ramdisk that is not there', '--kernel /k --ramdisk /none', /Cannot get file \/none: No such/],
  ['a kernel too large for the guest', '--kernel /large', /too large for the guest/],
]

for (const [name, words, message] of refusals) {
  test(`${name} is refused`, async () => {
    const world = new World({ '/k': 'K', '/large': 'x'.repeat(1 + (1 << 20)) })
    await assert.rejects(world.boot(words), (error) => message.test(String(error)))
  })
}
