/**
 * qcow2 images against qemu-img and a model, by random requests.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import { openImage } from '../../src/storage/open.ts'
import { createQcow2, type NewQcow2 } from '../../src/storage/qcow2/create.ts'
import { inFolder, pattern } from './folder.ts'
import { DiskModel, stepGroups } from './model.ts'
import { assertClean, qemuContent, withQemuImg } from './qemu-img.ts'

const host = { files: nodeHostFiles, decompressor: nodeDecompressor }
const RUNS = Number(process.env['STORAGE_CASES'] ?? 12)
const SECTORS = 2000

async function create(path: string, wish: NewQcow2): Promise<void> {
  const file = await nodeHostFiles.create(path)
  await createQcow2(file, wish)
  await file.close()
}

describe('random requests leave what the model has, to us and to qemu-img', () => {
  const kinds: readonly [string, Partial<NewQcow2>, boolean][] = [
    ['clusters of 64 KiB', {}, false],
    ['clusters of 512 bytes, refcounts of 64 bits', { clusterBytes: 512, refcountBits: 64 }, false],
    ['clusters of 4 KiB, refcounts of 1 bit', { clusterBytes: 4096, refcountBits: 1 }, false],
    ['version 2', { version: 2, clusterBytes: 4096 }, false],
    ['a raw backing file', { clusterBytes: 8192 }, true],
    ['version 2 with a backing file', { version: 2, clusterBytes: 4096 }, true],
    ['lazy refcounts', { lazyRefcounts: true, clusterBytes: 2048, refcountBits: 8 }, false],
  ]
  for (const [name, wish, backed] of kinds) {
    test(name, withQemuImg, () => inFolder(async (folder) => {
      const path = join(folder, 'disk.qcow2')
      const base = pattern(700 * 512, 9)
      await writeFile(join(folder, 'base'), base)
      await fc.assert(fc.asyncProperty(stepGroups(SECTORS, true), async (groups) => {
        await create(path, {
          sizeBytes: SECTORS * 512, ...wish,
          ...backed ? { backingFile: 'base', backingFormat: 'raw' } : {},
        })
        const model = new DiskModel(new Uint8Array(SECTORS * 512))
        if (backed) model.bytes.set(base)
        const store = await openImage(host, path, { access: 'write' })
        for (const group of groups) await model.run(store, group)
        await model.compare(store)
        await store.close()
        assertClean(path)
        const seen = qemuContent(path, 'qcow2', join(folder, 'raw'))
        assert.equal(Buffer.compare(seen, model.bytes), 0, 'qemu-img reads something else')
      }), { numRuns: RUNS })
    }))
  }
})
