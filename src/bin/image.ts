/**
 * xenolith-img: the image tool, with this process's streams and files.
 */
import { nodeDecompressor } from '../node/compression.ts'
import { nodeHostFiles } from '../node/host-files.ts'
import { randomWord } from '../node/random.ts'
import { runImageTool } from '../toolstack/image/main.ts'
import type { ImageWorld } from '../toolstack/image/world.ts'

let lineLength = 0

/** Lines over one another; the last one ends when the process does. */
function showLine(line: string): void {
  process.stderr.write(`\r${line.padEnd(lineLength)}`)
  lineLength = line.length
}

const world: ImageWorld = {
  host: { files: nodeHostFiles, decompressor: nodeDecompressor },
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  progress: process.stderr.isTTY ? showLine : undefined,
  nowMs: () => Date.now(),
  randomBytes: (count) => Uint8Array.from({ length: count }, () => randomWord() & 0xff),
}

// Whoever reads our output may have seen enough.
process.stdout.on('error', () => process.exit(0))
process.exitCode = await runImageTool(process.argv.slice(2), world)
if (lineLength > 0) process.stderr.write('\n')
