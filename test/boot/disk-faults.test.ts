/**
 * What is left of a guest's data when things go wrong: a host process that is killed while Debian
 * writes and syncs, and an image that cannot grow.
 *
 * The guest appends numbered records to a log and says each number over its console once fsync has
 * returned. A process that dies loses nothing that the kernel of its host has taken, so that every
 * number said must be in the log after its file system has recovered. `BOOT_KILLS` is the number of
 * kills for each format, `BOOT_SEED` where they fall.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { qemuCheck } from '../storage/qemu-img.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const TOOLS = [['mke2fs', '-V'], ['e2fsck', '-V'], ['debugfs', '-V'], ['qemu-img', '--version']]
const absent = TOOLS.find(([tool = '', option = '']) => spawnSync(tool, [option]).error)?.[0]
const skip = missing || (absent === undefined ? false : `there is no ${absent}`)

const KILLS = Number(process.env['BOOT_KILLS'] ?? 2)
const SEED = Number(process.env['BOOT_SEED'] ?? 1)
const MOST_DELAY_MS = 3000

const IMAGES = [
  { format: 'raw', qemu: 'raw' }, { format: 'qcow2', qemu: 'qcow2' },
  { format: 'vhd', qemu: 'vpc' },
] as const

describe('data of guests', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-faults-'))
  const path = (name: string): string => join(folder, name)
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** A program's output; its status may be one of `good`. */
  function run(good: readonly number[], program: string, ...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    assert.ok(good.includes(status ?? -1), `${program} ${args.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }

  /** Lets a guest write from record `first` on, and kills its host; the last record it said. */
  async function writeAndKill(
    format: string, image: string, first: number, delayMs: number,
  ): Promise<number> {
    const host = new TestHost()
    try {
      const config = host.config('writer', { ...settings, disk: [`${image},${format},xvda,w`] })
      const shell = await Shell.take(host.start('create', '-c', config))
      await shell.output('mkdir -p /mnt && mount /dev/xvda /mnt && touch /mnt/log')
      // Blocks that are overwritten and freed meanwhile keep the image's tables moving.
      shell.console.send(`i=${first}; while :; do echo "record $i" >>/mnt/log; ` +
        'sync /mnt/log && echo "synced $i."; ' +
        'head -c $((i % 7 * 9000)) /dev/urandom >/mnt/f$((i % 5)); i=$((i+1)); done\n')
      await shell.console.expect(`synced ${first}.\n`)
      await delay(delayMs)
      assert.ok(host.signal('SIGKILL'))
      await shell.console.ended()
      const said = [...shell.console.transcript.matchAll(/^synced (\d+)\.\r?$/gm)]
      return Number(said.at(-1)?.[1] ?? first)
    } finally {
      await host.close()
    }
  }

  /** The records of the log after the file system has recovered from the image as it is. */
  function recovered(image: string, qemu: string): string[] {
    const raw = path('check.raw')
    run([0], 'qemu-img', 'convert', '-f', qemu, '-O', 'raw', image, raw)
    // 1: the journal was replayed; anything that this mends is not to be repaired by hand.
    run([0, 1], 'e2fsck', '-p', raw)
    run([0], 'e2fsck', '-fn', raw)
    return run([0], 'debugfs', '-R', 'cat /log', raw).trimEnd().split('\n')
  }

  for (const { format, qemu } of IMAGES) {
    test(`what it synced to a ${format} image survives the death of the host process`, async () => {
      const image = path(`kill.${format}`)
      writeFileSync(path('new.raw'), '')
      truncateSync(path('new.raw'), 32 << 20)
      run([0], 'mke2fs', '-q', '-t', 'ext4', path('new.raw'))
      run([0], 'qemu-img', 'convert', '-f', 'raw', '-O', qemu, path('new.raw'), image)
      let next = 1
      for (let kill = 0; kill < KILLS; kill++) {
        const delayMs = Math.imul(SEED * 31 + kill + 1, 2654435761) % MOST_DELAY_MS
        const last = await writeAndKill(format, image, next, Math.abs(delayMs))
        if (format === 'qcow2') assert.equal(qemuCheck(image).corruptions, 0)
        const records = recovered(image, qemu)
        const wanted = Array.from({ length: last }, (_, i) => `record ${i + 1}`)
        assert.deepEqual(records.slice(0, last), wanted, `seed ${SEED}, kill ${kill}`)
        // The one that it was about to speak of may be there too.
        assert.ok(records.length <= last + 1, `${records.length} records after ${last}`)
        next = records.length + 1
      }
    })
  }

  test('an image that cannot grow fails the guest\'s writes, and nothing else', async () => {
    // Files of more than 8 MiB are refused to the host process, as by a full disk.
    const host = new TestHost({ fileLimitBytes: 8 << 20 })
    try {
      const image = path('full.qcow2')
      run([0], 'qemu-img', 'create', '-q', '-f', 'qcow2', image, '64M')
      const config = host.config('full', { ...settings, disk: [`${image},qcow2,xvda,w`] })
      const shell = await Shell.take(host.start('create', '-c', config))
      await shell.output('echo kept | dd of=/dev/xvda conv=fsync,notrunc 2>/dev/null')
      const write = 'tr "\\\\0" x </dev/zero | ' +
        'dd of=/dev/xvda bs=64k seek=1 count=256 iflag=fullblock conv=fsync'
      const { status, output } = await shell.run(write)
      assert.notEqual(status, 0)
      assert.match(output, /dd: .*(Input\/output error|No space left)/)
      assert.match(host.log, /full\.qcow2: File too large/)
      assert.equal(await shell.output('echo 3 >/proc/sys/vm/drop_caches; head -n 1 /dev/xvda'),
        'kept\n')
      shell.console.send('poweroff\n')
      await host.settled('full')
      assert.equal(qemuCheck(image).corruptions, 0)
    } finally {
      await host.close()
    }
  })
})
