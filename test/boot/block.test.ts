/**
 * Disks of a guest: images of each format that Debian's own drivers mount, write and sync, looked
 * at from the host with the formats' own tools; and disks that come, go and grow meanwhile.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  mkdirSync, readdirSync, readlinkSync, statSync, truncateSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const TOOLS: readonly [string, string][] = [
  ['mke2fs', '-V'], ['e2fsck', '-V'], ['debugfs', '-V'], ['qemu-img', '--version'],
]
const absent = TOOLS.find(([tool, option]) => spawnSync(tool, [option]).error)?.[0]
const skip = missing || (absent === undefined ? false : `there is no ${absent}`)

const DISKS = [
  { name: 'xvda', file: 'disk.img', format: 'raw', qemu: 'raw' },
  { name: 'xvdb', file: 'disk.qcow2', format: 'qcow2', qemu: 'qcow2' },
  { name: 'xvdc', file: 'disk.vhd', format: 'vhd', qemu: 'vpc' },
] as const

describe('a guest with disks', { skip }, () => {
  const host = new TestHost()
  const path = (name: string): string => join(host.folder, name)
  const content = randomBytes(300_000)
  const digest = createHash('md5').update(content).digest('hex')
  let shell: Shell

  /** A program's output; it must not fail. */
  function run(program: string, ...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    assert.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }

  /** Images that the host process has open. It goes on closing files while they are listed. */
  function openImages(): string[] {
    const fds = `/proc/${host.pid}/fd`
    return readdirSync(fds).map((fd) => linkOf(join(fds, fd)))
      .filter((file) => /\.(img|qcow2|vhd)$/.test(file))
  }

  /** What a link names, or nothing if it is gone. */
  function linkOf(path: string): string {
    try {
      return readlinkSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
      throw error
    }
  }

  async function xl(...words: string[]): Promise<string> {
    const { code, out, err } = await host.xl(...words)
    assert.equal(code, 0, `xl ${words.join(' ')}: ${out}${err}`)
    return out
  }

  /** Waits until a command of the guest's succeeds. */
  async function until(command: string): Promise<void> {
    for (let i = 0; i < 60; i++) {
      if ((await shell.run(command)).status === 0) return
      await delay(300)
    }
    assert.fail(`${command} went on failing: ${await shell.output('dmesg | tail')}`)
  }

  before(async () => {
    mkdirSync(path('tree'))
    writeFileSync(path('tree/random'), content)
    writeFileSync(path('tree/program'), '#!/bin/sh\necho ran from the disk\n', { mode: 0o755 })
    writeFileSync(path('disk.img'), '')
    truncateSync(path('disk.img'), 32 << 20)
    run('mke2fs', '-q', '-t', 'ext4', '-d', path('tree'), path('disk.img'))
    for (const { file, qemu } of DISKS.slice(1)) {
      run('qemu-img', 'convert', '-O', qemu, path('disk.img'), path(file))
    }
    const disk = DISKS.map(({ name, file, format }) => `${path(file)},${format},${name},w`)
    const config = host.config('g', { ...settings, vcpus: 2 })
    shell = await Shell.take(host.start('create', '-c', config, `disk=${JSON.stringify(disk)}`))
    await shell.output('mkdir -p /mnt')
  })
  after(() => host.close())

  for (const { name, format } of DISKS) {
    test(`reads, writes and reads again what is on a ${format} image`, async () => {
      await shell.output(`mount /dev/${name} /mnt`)
      assert.match(await shell.output('md5sum </mnt/random'), new RegExp(digest))
      assert.match(await shell.output('/mnt/program'), /ran from the disk/)
      await shell.output(`echo ${name} >/mnt/said && cp /mnt/random /mnt/copy && rm /mnt/random`)
      await shell.output('dd if=/dev/zero of=/mnt/zeros bs=64k count=50 conv=fsync')
      await shell.output('sync; umount /mnt')
      await shell.output(`mount /dev/${name} /mnt`)
      assert.match(await shell.output('md5sum </mnt/copy'), new RegExp(digest))
      await shell.output('umount /mnt')
    })
  }

  test('its disks stand in the store as real xl\'s do', async () => {
    const list = (await xl('block-list', 'g')).trimEnd().split('\n').map((line) => line.trimEnd())
    assert.equal(list[0], 'Vdev  BE  handle state evt-ch ring-ref BE-path')
    assert.equal(list.length, 4)
    // With two VCPUs there are two rings, each in a folder of its own.
    assert.equal(list[1], '51712 0   1      4     -1     -1       ' +
      '/local/domain/0/backend/vbd/1/51712')
    assert.match(list[2]!, /backend\/qdisk\/1\/51728$/)
  })

  test('each VCPU has a queue of its own, and its requests go over that', async () => {
    // Rows of blkfront's first disk: a count for each VCPU.
    const served = async (): Promise<number[]> => {
      const table = await shell.output('grep blkif /proc/interrupts | head -n 2')
      return [...table.matchAll(/^ *\d+: +(\d+) +(\d+) /gm)].map(([, a, b]) =>
        Number(a) + Number(b))
    }
    for (const vcpu of [0, 1]) {
      const before = await served()
      await shell.output('echo 3 >/proc/sys/vm/drop_caches')
      await shell.output(`taskset -c ${vcpu} head -c 1000000 /dev/xvda >/dev/null`)
      const after = await served()
      const queues = after.map((count, queue) => count - before[queue]!)
      assert.equal(queues.length, 2)
      assert.ok(queues[vcpu]! > 3, `queue ${vcpu}: ${queues}`)
    }
  })

  test('a disk comes while it runs, is read-only if it should be, and goes', async () => {
    writeFileSync(path('late.img'), Buffer.alloc(1 << 20, 'late'))
    await xl('block-attach', 'g', `file:${path('late.img')},xvdd,r`)
    await until('[ -b /dev/xvdd ]')
    assert.equal(await shell.output('head -c 8 /dev/xvdd; echo'), 'latelate\n')
    assert.equal(await shell.output('cat /sys/block/xvdd/ro'), '1\n')
    assert.notEqual((await shell.run('echo x 2>/dev/null >/dev/xvdd')).status, 0)
    await xl('block-detach', 'g', 'xvdd')
    await until('! [ -e /sys/block/xvdd ]')
    assert.doesNotMatch(await xl('block-list', 'g'), /51760/)
  })

  test('a disk grows while it is mounted', async () => {
    await shell.output('mount /dev/xvda /mnt')
    await xl('block-resize', 'g', 'xvda', '48m')
    await until(`[ $(cat /sys/block/xvda/size) = ${48 << 11} ]`)
    assert.match(await shell.output('dmesg | tail -n 5'), /xvda: detected capacity change/)
    await shell.output('sync; umount /mnt')
  })

  test('a disk with sectors of 4096 bytes is used in these', async () => {
    writeFileSync(path('big.img'), Buffer.alloc(8 << 20))
    await xl('block-attach', 'g', `sector-size=4096,${path('big.img')},raw,xvde,w`)
    await until('[ -b /dev/xvde ]')
    assert.equal(await shell.output('cat /sys/block/xvde/queue/logical_block_size'), '4096\n')
    await shell.output('mke2fs -q -F -b 4096 /dev/xvde >/dev/null && mount /dev/xvde /mnt')
    await shell.output('head -c 300000 /dev/urandom >/mnt/x; sync; umount /mnt')
    await xl('block-detach', 'g', 'xvde')
    run('e2fsck', '-fn', path('big.img'))
  })

  test('what it discards gives its space back to the host', async () => {
    writeFileSync(path('hole.img'), Buffer.alloc(8 << 20, 1))
    await xl('block-attach', 'g', `${path('hole.img')},raw,xvdf,w`)
    await until('[ -b /dev/xvdf ]')
    const { blocks } = statSync(path('hole.img'))
    await shell.output('blkdiscard -o 0 -l 4194304 /dev/xvdf')
    assert.ok(statSync(path('hole.img')).blocks <= blocks - (4 << 20) / 512)
    assert.equal(await shell.output('head -c 4194304 /dev/xvdf | tr -d \'\\0\' | wc -c'), '0\n')
    await xl('block-detach', 'g', 'xvdf')
  })

  test('what cannot be attached is refused in xl\'s words', async () => {
    const none = await host.xl('block-attach', 'g', '/nonexistent,raw,xvde')
    assert.equal(none.code, 1)
    assert.match(none.err,
      /Disk vdev=xvde failed to stat: .*No such file.*\n.*\nlibxl_device_disk_add failed\.\n$/)
    const taken = await host.xl('block-attach', 'g', `${path('disk.img')},raw,xvde`)
    assert.match(taken.err, /disk\.img is mounted in a guest domain, and so cannot be mounted now/)
    const other = host.config('other', {
      ...settings, memory: 96, disk: [`${path('disk.qcow2')},qcow2,xvda,w`],
    })
    const second = await host.xl('create', other)
    assert.notEqual(second.code, 0)
    assert.match(second.err, /disk\.qcow2 is mounted in a guest domain/)
    assert.deepEqual(await host.domains(), ['g'])
    const unknown = await host.xl('block-detach', 'g', 'xvdz')
    assert.equal(unknown.code, 1)
    assert.match(unknown.err, /\nError: Device xvdz not connected\.\n$/)
  })

  test('after its end the images are sound, and hold what it wrote', async () => {
    shell.console.send('poweroff\n')
    await host.settled('g')
    // Their last requests settle after it.
    for (let i = 0; i < 100 && openImages().length > 0; i++) await delay(100)
    assert.deepEqual(openImages(), [])
    for (const { name, file, qemu } of DISKS) {
      if (qemu === 'qcow2') run('qemu-img', 'check', path(file))
      const raw = qemu === 'raw' ? path(file) : path(`${file}.raw`)
      if (qemu !== 'raw') run('qemu-img', 'convert', '-f', qemu, '-O', 'raw', path(file), raw)
      run('e2fsck', '-fn', raw)
      assert.equal(run('debugfs', '-R', 'cat /said', raw), `${name}\n`)
      run('debugfs', '-R', `dump /copy ${path('copy')}`, raw)
      assert.equal(run('md5sum', path('copy')).slice(0, 32), digest)
    }
  })

  test('a guest that crashes and comes again has its disk again, and leaves nothing at its end',
    async () => {
      const config = host.config('c', {
        ...settings, memory: 128, on_crash: 'restart', disk: [`${path('disk.img')},raw,xvda,w`],
      })
      const first = await Shell.take(host.start('create', '-c', config))
      await first.output('[ -b /dev/xvda ]')
      const domid = Number((await host.listed('c'))?.[1])
      first.console.send('echo c >/proc/sysrq-trigger\n')
      await first.console.ended()
      const again = await Shell.take(await host.consoleOf('c', domid + 1))
      await again.output('[ -b /dev/xvda ]')
      await xl('destroy', 'c')
      assert.deepEqual(openImages(), [])
      assert.equal(await host.listed('c'), undefined)
    })
})
