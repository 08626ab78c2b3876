/**
 * What nobody should give to `./xl create`: each is refused in words for its owner, with xl's exit
 * code, and nothing is left behind.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { sampleBzImage, sampleElf } from '../../src/toolstack/build/sample-kernel.ts'
import { type Settings, TestHost } from '../boot/test-host.ts'

const EXIT_FAILED = 3

describe('xl create refuses', () => {
  const host = new TestHost({ memoryMb: 128 })
  const run = join(host.folder, 'run')
  const good = host.file('good', sampleElf())
  let files: string[] = []
  let number = 0

  before(async () => {
    await host.xl('list')
    files = readdirSync(run)
  })
  after(() => host.close())

  /** A domain with these settings is refused in these words. */
  async function refused(settings: Settings, message: string): Promise<void> {
    const config = host.config(`bad${number++}`, { kernel: good, memory: 32, ...settings })
    const { code, out, err } = await host.xl('create', '-q', config)
    assert.deepEqual([code, out, err], [EXIT_FAILED, '', `libxl: error: ${message}\n`])
  }

  /** A kernel with this content is refused; the message begins with its path. */
  function kernel(name: string, content: Uint8Array | string, message: string): void {
    test(`a kernel that is ${name}`, async () => {
      const path = host.file(name.replaceAll(' ', '-'), content)
      await refused({ kernel: path }, `${path}: ${message}`)
    })
  }

  kernel('an empty file', '', 'not a kernel: the file is empty')
  kernel('a text', 'vmlinuz\n', 'not a kernel: neither a bzImage nor an ELF file')
  kernel('an ELF segment cut off', sampleElf().subarray(0, 0x1800),
    'truncated: it ends before a segment that ends at byte 8192')
  kernel('without a PVH entry', sampleElf({ pvh: false }),
    'not a PVH kernel: it has no Xen note that names a PVH entry (Linux: CONFIG_PVH)')
  const packed = gzipSync(sampleElf())
  const image = sampleBzImage(packed)
  const end = 2 * 512 + 0x40 + packed.length
  kernel('a bzImage cut off', image.subarray(0, end - 9),
    `truncated: the kernel inside ends at byte ${end}, the file at ${end - 9}`)
  kernel('a bzImage with a damaged payload', image.with(end - 6, image[end - 6]! ^ 1),
    'the kernel inside cannot be unpacked: corrupt gzip data: incorrect data check')

  test('a kernel or ramdisk that is not there, or is no file', async () => {
    const none = join(host.folder, 'none')
    const pipe = join(host.folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    await refused({ kernel: none }, `failed to open kernel '${none}': No such file or directory`)
    await refused({ kernel: '/dev/zero' }, 'failed to open kernel \'/dev/zero\': Not a plain file')
    await refused({ ramdisk: pipe }, `failed to open ramdisk '${pipe}': Not a plain file`)
  })

  test('no memory, too little, and more than there is', async () => {
    await refused({ memory: 0 }, '0 KB of memory are too few for a domain: Out of memory')
    await refused({ memory: 16 }, `${good}: without a ramdisk does not fit into 16 MB of memory; ` +
      '17 MB are the least that could hold it')
    for (const memory of [128, 65536]) {
      const { code, err } = await host.xl('create', '-q', host.config('large', {
        kernel: good, memory,
      }))
      assert.equal(code, EXIT_FAILED)
      assert.match(err, new RegExp('^libxl: error: can\'t allocate memory for domain: ' +
        `${memory} MB asked for, \\d+ MB free: Out of memory\n$`))
    }
    await refused({ memory: 64, maxmem: 100_000 }, '100000 MB of memory; at most 65536 MB')
  })

  test('a name that another domain has', async () => {
    assert.equal((await host.xl('create', '-pq', host.config('same', { kernel: good }))).code, 0)
    await refused({ name: 'same' }, 'Domain with name "same" already exists.')
    assert.deepEqual(await host.domains(), ['same'])
    assert.equal((await host.xl('destroy', 'same')).code, 0)
  })

  test('nothing was left behind', async () => {
    assert.deepEqual(await host.domains(), [])
    assert.deepEqual(readdirSync(run), files)
    assert.match((await host.xl('info')).out, /^free_memory +: 127$/m)
  })
})
