/**
 * A host process killed amid writes: the image is sound, and has all that was flushed.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import type { ImageFormat } from '../../src/storage/block-store.ts'
import { openImage } from '../../src/storage/open.ts'
import { createVhd } from '../../src/storage/vhd/create.ts'
import { inFolder } from './folder.ts'
import { batchOf, KILL_SECTORS, type Request } from './kill-plan.ts'
import { assertClean, qemuCheck, qemuContent, qemuImg, withQemuImg } from './qemu-img.ts'

const KILLS = Number(process.env['STORAGE_KILLS'] ?? 12)
const host = { files: nodeHostFiles, decompressor: nodeDecompressor }

/** Runs the writer and kills it some time after its first batch; how many batches it flushed. */
function writeAndKill(
  path: string, format: string, seed: number, delayMs: number,
): Promise<number> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath,
      [join(import.meta.dirname, 'kill-writer.ts'), path, format, String(seed)],
      { stdio: ['ignore', 'pipe', 'inherit'] })
    let batches = 0
    child.stdout.on('data', (part: Buffer) => {
      if (batches === 0) setTimeout(() => child.kill('SIGKILL'), delayMs)
      batches += part.length
    })
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') done(batches)
      else failed(new Error(`the writer ended by itself: ${code}`))
    })
  })
}

/** What a request makes of a sector: discards leave it or empty it. */
function outcomes(before: ReadonlySet<number>, request: Request): ReadonlySet<number> {
  switch (request.kind) {
    case 'write': return new Set([request.stamp])
    case 'zero': return new Set([0])
    case 'discard': return new Set([...before, 0])
  }
}

/** The stamps that each sector may have after `batches` flushed batches and one in flight. */
function allowedStamps(before: Uint32Array, seed: number, batches: number): ReadonlySet<number>[] {
  const allowed: ReadonlySet<number>[] = Array.from(before, (stamp) => new Set([stamp]))
  for (let batch = 0; batch <= batches; batch++) {
    for (const request of batchOf(seed, batch)) {
      for (let i = request.at; i < request.at + request.sectors; i++) {
        const after = outcomes(allowed[i]!, request)
        allowed[i] = batch < batches ? after : new Set([...allowed[i]!, ...after])
      }
    }
  }
  return allowed
}

async function readStamps(path: string, format: ImageFormat): Promise<Uint32Array> {
  // Opening for writing is what repairs.
  const store = await openImage(host, path, { access: 'write', format })
  const bytes = new Uint8Array(KILL_SECTORS * 512)
  await store.read(0, bytes)
  await store.close()
  const view = new DataView(bytes.buffer)
  return Uint32Array.from({ length: KILL_SECTORS }, (_, i) => {
    const stamp = view.getUint32(i * 512)
    for (let at = 4; at < 512; at += 4) assert.equal(view.getUint32(i * 512 + at), stamp)
    return stamp
  })
}

async function killOften(
  path: string, format: ImageFormat, check: () => void,
): Promise<void> {
  let stamps = new Uint32Array(KILL_SECTORS)
  for (let seed = 1; seed <= KILLS; seed++) {
    const batches = await writeAndKill(path, format, seed, seed * 37 % 90)
    check()
    const allowed = allowedStamps(stamps, seed, batches)
    stamps = new Uint32Array(await readStamps(path, format))
    stamps.forEach((stamp, i) => {
      assert(allowed[i]!.has(stamp), `sector ${i} has ${stamp} after ${batches} batches (${seed})`)
    })
  }
}

for (const options of ['compat=1.1', 'compat=1.1,cluster_size=4k', 'compat=0.10,cluster_size=4k']) {
  test(`qcow2 (${options}): never damaged; opening it again frees what was left over`,
    withQemuImg, (t) => inFolder(async (folder) => {
      const path = join(folder, 'disk')
      qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, `${KILL_SECTORS * 512}`)
      let leaks = 0
      await killOften(path, 'qcow2', () => {
        const verdict = qemuCheck(path)
        assert.equal(verdict.corruptions, 0)
        leaks += verdict.leaks > 0 ? 1 : 0
      })
      assertClean(path)
      t.diagnostic(`${KILLS} kills, ${leaks} of them with leaked clusters until the next opening`)
    }))
}

test('VHD (dynamic): all that was flushed is there, and qemu-img takes it', withQemuImg, () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    const file = await nodeHostFiles.create(path)
    await createVhd(file, {
      sizeBytes: KILL_SECTORS * 512, nowMs: 0, uniqueId: new Uint8Array(16),
    })
    await file.close()
    await killOften(path, 'vpc', () => {
      const seen = qemuContent(path, 'vpc', join(folder, 'raw'))
      assert.equal(seen.length, KILL_SECTORS * 512)
    })
  }))
