/**
 * Writes to an image until it is killed: `node kill-writer.ts IMAGE FORMAT SEED`. Prints a letter
 * after each batch that is flushed.
 */
import { writeSync } from 'node:fs'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import type { ImageFormat } from '../../src/storage/block-store.ts'
import { openImage } from '../../src/storage/open.ts'
import { batchOf, stamped } from './kill-plan.ts'

const [path = '', format, seed] = process.argv.slice(2)
const store = await openImage(
  { files: nodeHostFiles, decompressor: nodeDecompressor }, path,
  { access: 'write', format: format as ImageFormat })
for (let batch = 0; ; batch++) {
  await Promise.all(batchOf(Number(seed), batch).map((request) => {
    const at = request.at * 512
    switch (request.kind) {
      case 'write': return store.write(at, stamped(request))
      case 'zero': return store.writeZeroes(at, request.sectors * 512)
      case 'discard': return store.discard(at, request.sectors * 512)
    }
  }))
  await store.flush()
  writeSync(1, '.')
}
