/**
 * Guests without `kernel=`: pygrub finds Debian's kernel on their disk, in each format of images,
 * and again at each reboot, or asks at its menu, and pvnetboot on a server.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const absent = ['mke2fs', 'qemu-img'].find((tool) => spawnSync(tool, ['-V']).error)
const skip = missing || (absent === undefined ? false : `there is no ${absent}`)

const GRUB_CFG = `set default="0"
set timeout=600
menuentry 'first' {
  linux /boot/vmlinuz console=hvc0 entry=first
  initrd /boot/initrd.img
}
menuentry 'second' {
  linux /boot/vmlinuz console=hvc0 entry=second
  initrd /boot/initrd.img
}
`

const FORMATS = [
  { format: 'raw', qemu: 'raw' }, { format: 'qcow2', qemu: 'qcow2' },
  { format: 'vhd', qemu: 'vpc' },
] as const

describe('a guest whose disk says what boots', { skip }, () => {
  const host = new TestHost()
  const path = (name: string): string => join(host.folder, name)

  function run(program: string, ...args: string[]): void {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
    assert.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`)
  }

  /** A configuration without a kernel. */
  function config(name: string, format: string, more: Record<string, string | string[]>): string {
    return host.config(name, {
      memory: 192, bootloader: 'pygrub', bootloader_args: ['-q'],
      disk: [`${path(`disk.${format}`)},${format},xvda,w`],
      ...more,
    })
  }

  before(() => {
    mkdirSync(path('tree/boot/grub'), { recursive: true })
    copyFileSync(String(settings['kernel']), path('tree/boot/vmlinuz'))
    copyFileSync(String(settings['ramdisk']), path('tree/boot/initrd.img'))
    writeFileSync(path('tree/boot/grub/grub.cfg'), GRUB_CFG)
    writeFileSync(path('disk.raw'), '')
    truncateSync(path('disk.raw'), 64 << 20)
    run('mke2fs', '-q', '-t', 'ext4', '-d', path('tree'), path('disk.raw'))
    for (const { format, qemu } of FORMATS.slice(1)) {
      run('qemu-img', 'convert', '-O', qemu, path('disk.raw'), path(`disk.${format}`))
    }
  })
  after(() => host.close())

  for (const { format } of FORMATS) {
    test(`boots the first entry from a ${format} image, with arguments added`, async () => {
      const file = config(format, format, { extra: 'added=here' })
      const shell = await Shell.take(host.start('create', '-c', file))
      assert.match(await shell.output('cat /proc/cmdline'), /entry=first added=here\n$/)
      assert.equal(await shell.output('mount /dev/xvda /mnt 2>/dev/null || mkdir /mnt && ' +
        'mount /dev/xvda /mnt; ls /mnt/boot/vmlinuz'), '/mnt/boot/vmlinuz\n')
      shell.console.send('umount /mnt; poweroff\n')
      await host.settled(format)
    })
  }

  test('shows its menu at xl create -c, where an entry is chosen and changed', async () => {
    const console = host.start('create', '-c', config('menu', 'raw', { bootloader_args: [] }))
    await console.expect('stops the clock')
    assert.match((await host.listed('menu'))?.[4] ?? '', /^--p---$/)
    assert.equal((await host.xl('vcpu-list', 'menu')).code, 0)
    assert.match((await host.xl('unpause', 'menu')).err, /still being made/)
    console.send('\x1b[')
    console.send('B')
    console.send('a typed=here\r')
    const shell = await Shell.take(console)
    assert.match(await shell.output('cat /proc/cmdline'), /entry=second typed=here\n$/)
    assert.equal((await host.xl('destroy', 'menu')).code, 0)
    await console.ended()
  })

  test('shows its menu at xl console; who ends it there leaves nothing', async () => {
    const file = config('menu', 'raw', { bootloader_args: [] })
    for (const end of ['destroy', 'Ctrl-C', 'SIGTERM'] as const) {
      const making = host.start('create', file)
      await host.settled('menu', /^--p---$/)
      const console = host.start('console', 'menu')
      await console.expect('stops the clock')
      if (end === 'destroy') assert.equal((await host.xl('destroy', 'menu')).code, 0)
      else if (end === 'Ctrl-C') console.send('\x03')
      else making.kill(end)
      await console.ended()
      const { code, err } = await making.ended()
      if (end !== 'SIGTERM') {
        assert.equal(code, 3)
        assert.match(err, /bootloader failed - pygrub: /)
      }
      await host.settled('menu')
    }
  })

  test('boots what the disk says at its reboot', async () => {
    const file = config('again', 'raw', { bootloader_args: ['--entry=second'] })
    const shell = await Shell.take(host.start('create', '-c', file))
    assert.match(await shell.output('cat /proc/cmdline'), /entry=second\n$/)
    await shell.output('mkdir -p /mnt && mount /dev/xvda /mnt')
    await shell.output("sed -i 's/entry=second/entry=changed/' /mnt/boot/grub/grub.cfg")
    const first = Number((await host.listed('again'))?.[1])
    shell.console.send('umount /mnt; reboot\n')
    await shell.console.ended()
    const next = await Shell.take(await host.consoleOf('again', first + 1))
    assert.match(await next.output('cat /proc/cmdline'), /entry=changed\n$/)
    assert.equal((await host.xl('destroy', 'again')).code, 0)
  })

  test('boots without a disk what pvnetboot fetches', async () => {
    const server = createServer((request, response) => {
      const name = { '/boot/vmlinuz': 'kernel', '/boot/initrd.img': 'ramdisk' }[request.url ?? '']
      if (name === undefined) response.writeHead(404).end()
      else response.end(readFileSync(String(settings[name])))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const file = config('net', 'raw', {
      bootloader: 'pvnetboot', disk: [], cmdline: 'console=hvc0 entry=net',
      bootloader_args: [`--location=http://127.0.0.1:${port}/boot`, '--kernel=vmlinuz',
        '--ramdisk=initrd.img'],
    })
    const shell = await Shell.take(host.start('create', '-c', file))
    assert.match(await shell.output('cat /proc/cmdline'), /entry=net\n$/)
    assert.equal((await host.xl('destroy', 'net')).code, 0)
    server.close()
  })

  test('is refused, and its disk let go, when there is nothing to boot', async () => {
    const none = await host.xl('create', config('none', 'raw', { disk: [] }))
    assert.equal(none.code, 3)
    assert.match(none.err,
      /cannot run bootloader with no boot disk\n.*cannot \(re-\)build domain: -3/)
    writeFileSync(path('disk.empty'), Buffer.alloc(1 << 20))
    const disk = [`${path('disk.empty')},raw,xvda,w`]
    for (let i = 0; i < 2; i++) {
      const { code, err } = await host.xl('create', config('none', 'raw', { disk }))
      assert.equal(code, 3)
      assert.match(err, /bootloader failed - pygrub: no configuration of a boot loader was found/)
    }
    const other = await host.xl('create', config('none', 'raw', { disk, bootloader: '/bin/sh' }))
    assert.match(other.err, /cannot execute \/bin\/sh: pygrub and pvnetboot are known/)
  })
})
