/**
 * `xl create -c` at the menu of a boot loader.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryFile } from '../../storage/memory-file.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { sampleDisk } from '../pygrub/sample-disk.ts'
import { settle, xl } from './fake-world.ts'

test('create -c is at the menu of a boot loader, which Ctrl-] leaves to itself', async () => {
  const { run, control, host, files, libxl, terminal } = xl()
  const disk = sampleDisk({ k: sampleElf() }, { 'grub.cfg': 'menuentry "k" {\nlinux /k\n}\n' })
  host.images.files.files.set('/d', new MemoryFile('/d', Uint8Array.from(disk)))
  files.set('b.cfg',
    'name="b"\ntype="pvh"\nmemory=64\nbootloader="pygrub"\ndisk=["/d,raw,xvda"]\n')
  const type = (text: string): void => terminal.type(new TextEncoder().encode(text))
  terminal.isTerminal = true
  for (const [keys, code] of [['\r', 0], ['\x03', 3], ['\x1d', 0]] as const) {
    terminal.shown = ''
    terminal.opened = terminal.closed = 0
    const running = run('create -qc b.cfg')
    while (!terminal.shown.includes('stops the clock')) await settle()
    type(keys)
    await settle()
    if (keys === '\x1d') {
      assert.equal(terminal.closed, 1)
      await host.pass(1000)
    }
    if (keys === '\r') {
      while ((await libxl.list())[1]?.paused) await settle()
      control.shutDown(1, 0)
    }
    const ended = await running
    assert.equal(ended.code, code)
    assert.equal(terminal.closed, 1)
    if (code === 3) assert.match(ended.err, /bootloader failed - pygrub: nothing was chosen/)
    assert.equal((await libxl.list()).length, keys === '\x1d' ? 2 : 1)
  }
  assert.equal((await libxl.list())[1]?.paused, false)
})
