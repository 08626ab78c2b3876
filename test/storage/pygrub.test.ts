/**
 * Our pygrub and Debian's, from the packages xen-utils-4.17 and libxenmisc4.17, on the same disks.
 *
 * `XENOLITH_TEST_XEN_UTILS` names a folder in which these are unpacked; without it they are
 * installed.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { inFolder } from './folder.ts'

const theirRoot = process.env['XENOLITH_TEST_XEN_UTILS'] ?? '/'
const theirs = join(theirRoot, 'usr/lib/xen-4.17')
const ours = join(import.meta.dirname, '../../src/bin/pygrub.ts')
const path = `${process.env['PATH']}:/usr/sbin:/sbin`

/** pygrub's libraries are in a folder of Xen's own, for one version of Python. */
const environment = {
  ...process.env, PATH: path, TERM: 'vt100', PYTHONPATH: join(theirs, 'lib/python'),
  LD_LIBRARY_PATH: join(theirs, 'lib/x86_64-linux-gnu'),
  XEN_FSIMAGE_FSDIR: join(theirs, 'lib/x86_64-linux-gnu/xenfsimage'),
}

function isRunnable(): boolean {
  const run = (command: string, args: readonly string[]) =>
    spawnSync(command, args, { env: environment, encoding: 'utf8' })
  return run('sh', ['-c', 'command -v mke2fs && command -v sfdisk']).status === 0 &&
    run('python3', ['-c', 'import xenfsimage']).status === 0 &&
    existsSync(environment.XEN_FSIMAGE_FSDIR) && existsSync(join(theirs, 'bin/pygrub'))
}

/** Runs a program at a terminal, types once it has said its name, and waits for its end. */
const AT_TERMINAL = `
import os, pty, sys
typed, command = sys.argv[1].encode().decode('unicode_escape').encode(), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0: os.execvp(command[0], command)
said = b''
try:
    while True:
        part = os.read(terminal, 65536)
        if not part: break
        said += part
        if typed and b'pygrub  ' in said.lower():
            os.write(terminal, typed)
            typed = b''
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

const needed = isRunnable() ? {} : { skip: "Debian's pygrub does not run here (xen-utils-4.17)" }

interface Booted {
  readonly kernel: string
  readonly ramdisk: string | undefined
  readonly args: string | undefined
  /** The output, with the names of the files left out. */
  readonly shape: string
}

/** Runs a pygrub, and reads what it wrote, to `result` if that is given; undefined if it failed. */
function boot(
  program: readonly string[], folder: string, image: string, options: readonly string[],
  result?: string,
): Booted | undefined {
  const out = join(folder, 'out')
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  const [command = '', ...args] = program
  const { status, stdout: said } = spawnSync(command,
    [...args, '-q', `--output-directory=${out}`, '--output-format=simple', ...options, image],
    { encoding: 'utf8', env: environment })
  if (status !== 0) return undefined
  const stdout = result === undefined ? said : readFileSync(result, 'utf8')
  const field = (name: string): string | undefined =>
    new RegExp(`^${name} (.*)$`, 'm').exec(stdout)?.[1]
  const ramdisk = field('ramdisk')
  return {
    kernel: readFileSync(field('kernel')!, 'latin1'),
    ramdisk: ramdisk === undefined ? undefined : readFileSync(ramdisk, 'latin1'),
    args: field('args'),
    shape: stdout.replaceAll(out, '').replaceAll(/(boot_\w+)\.\w+/g, '$1'),
  }
}

/** Both must boot the same, and boot at all. */
function assertEqual(folder: string, image: string, options: readonly string[] = []): void {
  const expected = boot(['python3', join(theirs, 'bin/pygrub')], folder, image, options)
  assert(expected, `Debian's pygrub fails with ${options.join(' ')}`)
  assert.deepEqual(boot([process.execPath, ours], folder, image, options), expected)
}

/** A tree with kernels, and configurations at their places. */
function makeTree(folder: string, configs: Readonly<Record<string, string>>): string {
  const tree = join(folder, 'tree')
  rmSync(tree, { recursive: true, force: true })
  mkdirSync(join(tree, 'boot'), { recursive: true })
  for (const version of ['6.1.0-13-amd64', '6.1.0-12-amd64']) {
    writeFileSync(join(tree, `boot/vmlinuz-${version}`), `kernel ${version} `.repeat(5000))
    writeFileSync(join(tree, `boot/initrd.img-${version}`), `ramdisk ${version} `.repeat(9000))
  }
  writeFileSync(join(tree, 'vmlinuz'), 'the kernel')
  for (const [name, text] of Object.entries(configs)) {
    mkdirSync(dirname(join(tree, name)), { recursive: true })
    writeFileSync(join(tree, name), text)
  }
  return tree
}

function makeFileSystem(
  folder: string, configs: Readonly<Record<string, string>>,
  args: readonly string[] = ['-t', 'ext4', '-O', '^metadata_csum'],
): string {
  const image = join(folder, 'image')
  rmSync(image, { force: true })
  const made = spawnSync('mke2fs',
    ['-q', '-F', ...args, '-d', makeTree(folder, configs), image, '8M'],
    { env: environment, encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  return image
}

// What update-grub of Debian 12 makes of two kernels, with less around them.
const grub = readFileSync(join(import.meta.dirname, 'debian-grub.cfg'), 'utf8')

const menuLst = `default 1
timeout 3
title First, with spaces
root (hd0,0)
kernel /boot/vmlinuz-6.1.0-12-amd64 root=/dev/xvda  ro
initrd /boot/initrd.img-6.1.0-12-amd64
savedefault
title Second
kernel (hd0,0)/boot/vmlinuz-6.1.0-13-amd64 root=/dev/xvdb
initrd (hd0,0)/boot/initrd.img-6.1.0-13-amd64
`

const extlinux = `DEFAULT second
TIMEOUT 50
LABEL first
  MENU LABEL The first
  KERNEL /boot/vmlinuz-6.1.0-12-amd64
  APPEND a=1 initrd=/boot/initrd.img-6.1.0-12-amd64 root=/dev/a ro
label second
  kernel /vmlinuz
  append quiet
`

describe('what is booted is what Debian\'s pygrub boots', () => {
  test('grub.cfg: the default, entries by number, arguments and files of one\'s own', needed, () =>
    inFolder(async (folder) => {
      const image = makeFileSystem(folder, { '/boot/grub/grub.cfg': grub })
      for (const options of [
        [], ['--entry=1'], ['--entry=2'], ['--entry=7'], ['--args=extra=1 two'],
        ['--kernel=/vmlinuz'], ['--kernel=/vmlinuz', '--args=a b'],
      ]) assertEqual(folder, image, options)
    }))

  test('grub.cfg: defaults by number, by name, saved', needed, () => inFolder(async (folder) => {
    for (const value of ['1', '"2"', "'0'", '"${saved_entry}"', 'gnulinux-simple-1', '"1>0"']) {
      const text = grub.replace('set default="0"', `set default=${value}`)
      assertEqual(folder, makeFileSystem(folder, { '/boot/grub/grub.cfg': text }))
    }
  }))

  test('menu.lst and extlinux.conf', needed, () => inFolder(async (folder) => {
    for (const options of [[], ['--entry=0'], ['--entry=1']]) {
      for (const configs of [
        { '/boot/grub/menu.lst': menuLst }, { '/boot/extlinux/extlinux.conf': extlinux },
      ]) assertEqual(folder, makeFileSystem(folder, configs), options)
    }
    const saved = menuLst.replace('default 1', 'default saved')
    assertEqual(folder, makeFileSystem(folder, { '/grub/menu.lst': saved }))
  }))

  test('of several configurations the same is taken', needed, () => inFolder(async (folder) => {
    assertEqual(folder, makeFileSystem(folder, {
      '/boot/grub/grub.cfg': grub, '/boot/grub/menu.lst': menuLst, '/extlinux.conf': extlinux,
    }))
    assertEqual(folder, makeFileSystem(folder, {
      '/boot/grub/menu.lst': menuLst, '/extlinux.conf': extlinux,
    }))
  }))

  test('ext2 and ext3 too, and partitions of both kinds', needed, () => inFolder(async (folder) => {
    for (const args of [['-t', 'ext2', '-b', '1024'], ['-t', 'ext3']]) {
      assertEqual(folder, makeFileSystem(folder, { '/boot/grub/grub.cfg': grub }, args))
    }
    const image = makeFileSystem(folder, { '/boot/grub/grub.cfg': grub })
    for (const label of ['dos', 'gpt']) {
      const disk = join(folder, 'disk')
      writeFileSync(disk, '')
      truncateSync(disk, 40 << 20)
      const made = spawnSync('sfdisk', ['-q', disk], {
        env: environment, encoding: 'utf8', input: `label: ${label}\nsize=4M\nsize=8M\nsize=4M\n`,
      })
      assert.equal(made.status, 0, made.stderr)
      const file = await open(disk, 'r+')
      await file.write(readFileSync(image), 0, 8 << 20, 5 << 20)
      await file.close()
      assertEqual(folder, disk)
      assertEqual(folder, disk, [`--offset=${5 << 20}`])
    }
  }))
})

describe('what is chosen at the menu is what Debian\'s pygrub lets one choose', () => {
  /** What each boots after such keys; nothing typed waits for the end of its time. */
  function chosen(folder: string, image: string, typed: string): (Booted | undefined)[] {
    return [['python3', join(theirs, 'bin/pygrub')], [process.execPath, ours]].map((program) => {
      const result = join(folder, 'result')
      writeFileSync(result, '')
      return boot(['python3', '-c', AT_TERMINAL, typed, ...program], folder, image,
        ['-i', `--output=${result}`], result)
    })
  }

  test('arrows within entries and submenus, the default after its time', needed, () =>
    inFolder(async (folder) => {
      const image = makeFileSystem(folder, {
        '/boot/grub/grub.cfg': grub.replaceAll(/timeout=\d+/g, 'timeout=2'),
      })
      const [up, down] = ['\\x1bOA', '\\x1bOB']
      for (const keys of [
        '', '\\r', `${down}\\r`, `${down}${down}\\n`, `${down}${down}${up}\\r`, `${up}\\r`,
        `${down.repeat(20)}\\r`, `x${down}zq\\r`,
      ]) {
        const [theirs, ours] = chosen(folder, image, keys)
        assert(theirs)
        assert.deepEqual(ours, theirs, JSON.stringify(keys))
      }
    }))
})

test('a disk that looks like another image is a disk', () => inFolder(async (folder) => {
  const image = join(folder, 'image')
  const header = Buffer.alloc(65536)
  header.write('QFI\xfb', 'latin1')
  writeFileSync(image, header)
  const { status, stderr } =
    spawnSync(process.execPath, [ours, '-q', image], { encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /no configuration of a boot loader/)
}))
