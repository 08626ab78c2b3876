/**
 * What the tests of images share: a folder that goes away, and bytes that tell places apart.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'xenolith-storage-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

export function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 8) + seed & 0xff)
}
