/**
 * VHDs against qemu-img and a model; chains of differencing disks against the model alone, as
 * qemu-img knows none.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import { openImage } from '../../src/storage/open.ts'
import { createVhd, type NewVhd } from '../../src/storage/vhd/create.ts'
import { VhdStore } from '../../src/storage/vhd/store.ts'
import { inFolder, pattern } from './folder.ts'
import { DiskModel, stepGroups } from './model.ts'
import { qemuContent, qemuImg, withQemuImg } from './qemu-img.ts'

const host = { files: nodeHostFiles, decompressor: nodeDecompressor }
const RUNS = Number(process.env['STORAGE_CASES'] ?? 12)
const SECTORS = 20_000
const format = 'vpc'

async function create(path: string, wish: Partial<NewVhd>): Promise<void> {
  const file = await nodeHostFiles.create(path)
  await createVhd(file, {
    sizeBytes: SECTORS * 512, nowMs: 1_700_000_000_000, uniqueId: pattern(16, path.length), ...wish,
  })
  await file.close()
}

for (const fixed of [true, false]) {
  test(`${fixed ? 'fixed' : 'dynamic'} disks: random requests leave what the model has`,
    withQemuImg, () => inFolder(async (folder) => {
      const path = join(folder, 'disk.vhd')
      await fc.assert(fc.asyncProperty(stepGroups(SECTORS, true), async (groups) => {
        await create(path, { fixed })
        const model = new DiskModel(new Uint8Array(SECTORS * 512))
        const store = await openImage(host, path, { access: 'write', format })
        for (const group of groups) await model.run(store, group)
        await model.compare(store)
        await store.close()
        const again = await openImage(host, path, { access: 'read', format })
        await model.compare(again)
        await again.close()
        const seen = qemuContent(path, 'vpc', join(folder, 'raw'))
        assert.equal(Buffer.compare(seen, model.bytes), 0, 'qemu-img reads something else')
      }), { numRuns: RUNS })
    }))
}

/** Makes `child` a differencing disk of `parent`, both in `folder`. */
async function createChild(folder: string, child: string, parent: string): Promise<void> {
  const store = await openImage(host, join(folder, parent), { access: 'read', format })
  assert(store instanceof VhdStore)
  await create(join(folder, child), {
    parent: {
      path: parent, uniqueId: store.image.uniqueId(), timeStamp: store.image.footer.time_stamp,
    },
  })
  await store.close()
}

test('differencing disks: a chain of three holds what was written to each, and parents stay', () =>
  inFolder(async (folder) => {
    const names = ['base.vhd', 'middle one.vhd', 'top.vhd']
    await fc.assert(fc.asyncProperty(
      fc.tuple(stepGroups(SECTORS, false), stepGroups(SECTORS, false), stepGroups(SECTORS, true)),
      async (work) => {
        const saved: Uint8Array[] = []
        let model = new DiskModel(new Uint8Array(SECTORS * 512))
        for (const [i, groups] of work.entries()) {
          const path = join(folder, names[i]!)
          if (i === 0) await create(path, {})
          else await createChild(folder, names[i]!, names[i - 1]!)
          const store = await openImage(host, path, { access: 'write' })
          for (const group of groups) await model.run(store, group)
          await store.close()
          saved.push(model.bytes)
          model = new DiskModel(model.bytes.slice())
        }
        for (const [i, name] of names.entries()) {
          const store = await openImage(host, join(folder, name), { access: 'read' })
          await new DiskModel(saved[i]!).compare(store)
          await store.close()
        }
      }), { numRuns: RUNS })
  }))

test('a parent that is gone, or is another one, is said', () => inFolder(async (folder) => {
  const child = join(folder, 'child.vhd')
  await create(join(folder, 'base.vhd'), {})
  await createChild(folder, 'child.vhd', 'base.vhd')
  await create(join(folder, 'base.vhd'), { uniqueId: pattern(16, 99) })
  await assert.rejects(openImage(host, child, { access: 'read' }), { problem: 'corrupt' })
  await nodeHostFiles.open(join(folder, 'base.vhd'), 'write').then((file) => file.close())
  await create(child, { parent: { path: 'gone.vhd', uniqueId: pattern(16, 1), timeStamp: 0 } })
  await assert.rejects(openImage(host, child, { access: 'read' }),
    { problem: 'not found', message: /gone\.vhd/ })
}))

for (const subformat of ['dynamic', 'fixed']) {
  test(`a ${subformat} disk of qemu-img's is read and written`, withQemuImg, () =>
    inFolder(async (folder) => {
      const path = join(folder, 'disk.vhd')
      await writeFile(join(folder, 'raw'), pattern(SECTORS * 512, 4))
      qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', `subformat=${subformat},force_size=on`,
        join(folder, 'raw'), path)
      const model = new DiskModel(pattern(SECTORS * 512, 4))
      const store = await openImage(host, path, { access: 'write', format })
      await model.compare(store)
      await model.run(store, [
        { kind: 'write', at: 4090, sectors: 20, seed: 1 },
        { kind: 'zero', at: 0, sectors: 100, seed: 0 },
      ])
      await store.close()
      const seen = qemuContent(path, 'vpc', join(folder, 'raw'))
      assert.equal(Buffer.compare(seen, model.bytes), 0)
    }))
}

test('what a guest writes into a fixed disk does not make another disk of it', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'fixed.vhd')
    const forged = join(folder, 'forged.vhd')
    await create(path, { fixed: true })
    const parent = { path: '/etc/passwd', uniqueId: pattern(16, 1), timeStamp: 0 }
    await create(forged, { parent })
    const content = await nodeHostFiles.open(forged, 'read')
    const start = new Uint8Array(8192)
    await content.read(0, start)
    await content.close()
    for (let i = 0; i < 2; i++) {
      const store = await openImage(host, path, { access: 'write', format })
      assert(store instanceof VhdStore && !store.image.isDifferencing)
      await store.write(0, start)
      await store.close()
    }
  }))
