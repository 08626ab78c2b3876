/**
 * pygrub: finds the kernel that a guest's disk would boot, with this process's streams and files.
 */
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeDecompressor } from '../node/compression.ts'
import { nodeHostFiles } from '../node/host-files.ts'
import { randomWord } from '../node/random.ts'
import { ProcessTerminal } from '../node/terminal.ts'
import { runPygrub } from '../toolstack/pygrub/main.ts'
import type { BootTerminal } from '../toolstack/pygrub/menu-session.ts'

const terminal = new ProcessTerminal()

const bootTerminal: BootTerminal = {
  write: (text) => void terminal.write(new TextEncoder().encode(text)),
  listen: (typist) => {
    if (typist) terminal.open((bytes) => typist.input(bytes), () => typist.closed())
    else terminal.close()
  },
  delay: (ms, work) => {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
}

process.exitCode = await runPygrub(process.argv.slice(2), {
  host: { files: nodeHostFiles, decompressor: nodeDecompressor },
  ...terminal.isTerminal ? { terminal: bootTerminal } : {},
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  async writeNew(folder, prefix, bytes) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, `${prefix}${randomWord().toString(36)}`)
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(bytes)
    } finally {
      await file.close()
    }
    return path
  },
  writeTo: (path, text) => writeFile(path, text),
})
