/**
 * File systems and partition tables that Debian's tools made, read back by ours.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import type { FileSystem } from '../../src/storage/filesystem/file-system.ts'
import { openFileSystem } from '../../src/storage/filesystem/open.ts'
import { readPartitions } from '../../src/storage/filesystem/partitions.ts'
import { Volume } from '../../src/storage/filesystem/volume.ts'
import { RawStore } from '../../src/storage/raw.ts'
import { inFolder, pattern } from './folder.ts'

const MIB = 1 << 20
const environment = {
  ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, LC_ALL: 'C.UTF-8',
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { env: environment }).status === 0
}

function needs(program: string): { skip?: string } {
  return has(program) ? {} : { skip: `${program} is not installed` }
}

function sh(program: string, args: readonly string[], input?: string, accepted = [0]): string {
  const { status, stdout, stderr } =
    spawnSync(program, args, { encoding: 'utf8', env: environment, ...input ? { input } : {} })
  assert(accepted.includes(status!), `${program} ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

async function withDisk(
  path: string, work: (store: RawStore) => Promise<void>,
): Promise<void> {
  const store = new RawStore(await nodeHostFiles.open(path, 'read'))
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

/** A tree with what file systems find hard; links only where they can hold them. */
async function makeTree(folder: string, links: boolean): Promise<void> {
  mkdirSync(join(folder, 'deep/a/b/c/d/e/f/g/h/i/j'), { recursive: true })
  writeFileSync(join(folder, 'deep/a/b/c/d/e/f/g/h/i/j/bottom'), 'reached')
  for (const size of [0, 1, 40, 61, 100, 150, 511, 4096, 300_001]) {
    writeFileSync(join(folder, `size-${size}`), pattern(size, size))
  }
  mkdirSync(join(folder, 'many'))
  for (let i = 0; i < 150; i++) {
    writeFileSync(join(folder, 'many', `file number ${i} with a rather long name.txt`), `${i}`)
  }
  mkdirSync(join(folder, 'few'))
  writeFileSync(join(folder, 'few/one'), 'one')
  writeFileSync(join(folder, 'Mixed Case.Text'), 'x')
  writeFileSync(join(folder, 'grüße und 漢字'), 'unicode')
  writeFileSync(join(folder, 'n'.repeat(200)), 'long')
  if (!links) return
  symlinkSync('size-1', join(folder, 'link'))
  symlinkSync('../size-61', join(folder, 'few/up'))
  symlinkSync('/many/file number 7 with a rather long name.txt', join(folder, 'absolute'))
  symlinkSync(`./few/${'../few/'.repeat(20)}one`, join(folder, 'long-link'))
  symlinkSync('/few', join(folder, 'directory-link'))
  symlinkSync('nowhere', join(folder, 'dangling'))
  symlinkSync('circle', join(folder, 'circle'))
}

/** A file of holes and data: few, or so many that its extents need a tree. */
async function makeSparse(path: string, size: number, step: number): Promise<void> {
  const file = await open(path, 'w')
  for (let at = 0; at < size; at += step) await file.write(pattern(1500, at & 255), 0, 1500, at)
  // It ends with data: mke2fs cuts off a hole at the end of a file in some configurations.
  await file.write(pattern(10, 1), 0, 10, size - 10)
  await file.close()
}

/** Whether `path` of the file system is what it is in the host's folder. */
async function compare(
  system: FileSystem, folder: string, path: string, skip: string,
): Promise<void> {
  const host = join(folder, path)
  const names = (await system.readDirectory(path)).filter((name) => name !== skip).sort()
  assert.deepEqual(names, readdirSync(host).sort(), path)
  for (const name of names) {
    const own = join(path, name)
    const expected = lstatSync(join(host, name))
    const stat = await system.linkStat(own)
    if (stat.mode !== undefined && !expected.isSymbolicLink()) {
      assert.equal(stat.mode & 0o555, expected.mode & 0o555, own)
    }
    if (expected.isSymbolicLink()) {
      assert.equal(stat.kind, 'symlink', own)
      assert.equal(await system.readLink(own), readlinkSync(join(host, name)))
    } else if (expected.isDirectory()) {
      await compare(system, folder, own, skip)
    } else {
      assert.equal(stat.kind, 'file', own)
      const content = readFileSync(join(host, name))
      assert.equal(Buffer.compare(await system.readWhole(own, 200 * MIB), content), 0, own)
    }
  }
}

/** Paths through links, and what is refused. */
async function walkLinks(system: FileSystem): Promise<void> {
  const text = async (path: string): Promise<string> =>
    new TextDecoder().decode(await system.readWhole(path, MIB))
  assert.equal(await text('/directory-link/../few/one'), 'one')
  assert.equal(await text('absolute'), '7')
  assert.equal(await text('/long-link'), 'one')
  assert.equal(await text('/../../few/one'), 'one')
  assert.deepEqual([...await system.readWhole('few/up', 61)], [...pattern(61, 61)])
  await assert.rejects(text('/dangling'), { problem: 'not found' })
  await assert.rejects(text('/circle'), { problem: 'corrupt', message: /symbolic links/ })
  await assert.rejects(text('/few'), { problem: 'wrong kind' })
  await assert.rejects(text('/size-1/x'), { problem: 'wrong kind' })
  await assert.rejects(system.readWhole('/size-300001', 100), { problem: 'unsupported' })
}

for (const [name, args, type] of [
  ['ext2, blocks of 1 KiB', ['-t', 'ext2', '-b', '1024'], 'ext2'],
  ['ext3, blocks of 4 KiB', ['-t', 'ext3', '-b', '4096'], 'ext3'],
  ['ext4 as mke2fs makes it', ['-t', 'ext4'], 'ext4'],
  ['ext4 with 64 bits, checksums and inline data',
    ['-t', 'ext4', '-b', '1024', '-O', '64bit,metadata_csum,inline_data', '-I', '512'], 'ext4'],
  ['ext4 with meta block groups', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'],
    'ext4'],
] as const) {
  test(`${name}: files, links and directories are those of the host`, needs('mke2fs'), () =>
    inFolder(async (folder) => {
      const [tree, image] = [join(folder, 'tree'), join(folder, 'image')]
      mkdirSync(tree)
      await makeTree(tree, true)
      await makeSparse(join(tree, 'fragments'), 8 * MIB, 8192)
      await makeSparse(join(tree, 'far'), 80 * MIB, 16 * MIB + 4096)
      sh('mke2fs', ['-q', '-F', '-L', 'the label', '-U', '12345678-9abc-def0-1234-56789abcdef0',
        ...args, '-d', tree, image, '60M'])
      // Rebuilds large directories as hashed ones; 1 says that it changed something.
      sh('e2fsck', ['-fyD', image], undefined, [0, 1])
      await withDisk(image, async (store) => {
        const system = await openFileSystem(new Volume(store))
        assert(system)
        assert.deepEqual([system.type, system.label, system.uuid],
          [type, 'the label', '12345678-9abc-def0-1234-56789abcdef0'])
        await compare(system, tree, '/', 'lost+found')
        await walkLinks(system)
      })
    }))
}

for (const [bits, megabytes, args] of [[12, 3, []], [16, 40, []], [32, 70, ['-s', '1']]] as const) {
  test(`FAT${bits}: files and long names are those of the host`, needs('mkfs.vfat'), () =>
    inFolder(async (folder) => {
      const [tree, image] = [join(folder, 'tree'), join(folder, 'image')]
      mkdirSync(tree)
      await makeTree(tree, false)
      sh('mkfs.vfat', ['-F', String(bits), ...args, '-n', 'LABEL', '-i', '12ab34cd', '-C', image,
        String(megabytes * 1024)])
      sh('mcopy', ['-s', '-i', image, ...readdirSync(tree).map((name) => join(tree, name)), '::/'])
      await withDisk(image, async (store) => {
        const system = await openFileSystem(new Volume(store))
        assert(system)
        assert.deepEqual([system.type, system.label, system.uuid], ['vfat', 'LABEL', '12AB-34CD'])
        await compare(system, tree, '/', '')
        assert.equal(new TextDecoder().decode(await system.readWhole('/FEW/ONE', 10)), 'one')
      })
    }))
}

for (const [name, args, links] of [
  ['Rock Ridge', ['-R', '-J', '-joliet-long'], true],
  ['Joliet', ['-J', '-joliet-long', '-D'], false],
] as const) {
  test(`ISO 9660 with ${name}: files and links are those of the host`, needs('genisoimage'),
    () => inFolder(async (folder) => {
      const [tree, image] = [join(folder, 'tree'), join(folder, 'image')]
      mkdirSync(tree)
      await makeTree(tree, links)
      if (!links) spawnSync('rm', [join(tree, 'n'.repeat(200))])
      sh('genisoimage', ['-quiet', ...args, '-V', 'the label', '-o', image, tree])
      await withDisk(image, async (store) => {
        const system = await openFileSystem(new Volume(store))
        assert.equal(system?.type, 'iso9660')
        assert.equal(system.label, 'the label')
        await compare(system, tree, '/', 'rr_moved')
        if (links) await walkLinks(system)
      })
    }))
}

test('ISO 9660 as xorriso makes it', needs('xorriso'), () => inFolder(async (folder) => {
  const [tree, image] = [join(folder, 'tree'), join(folder, 'image')]
  mkdirSync(tree)
  await makeTree(tree, true)
  sh('xorriso', ['-as', 'mkisofs', '-quiet', '-r', '-J', '-o', image, tree])
  await withDisk(image, async (store) => {
    const system = await openFileSystem(new Volume(store))
    assert(system)
    await compare(system, tree, '/', 'rr_moved')
    await walkLinks(system)
  })
}))

interface SfdiskTable {
  readonly partitiontable: {
    readonly partitions: readonly {
      readonly node: string, readonly start: number, readonly size: number, readonly type: string,
      readonly name?: string, readonly bootable?: boolean,
    }[]
  }
}

/** What sfdisk lists, in our words. */
function listed(image: string): unknown[] {
  const { partitiontable } = JSON.parse(sh('sfdisk', ['--json', image])) as SfdiskTable
  return partitiontable.partitions.map((entry) => ({
    number: Number(entry.node.slice(image.length)), offset: entry.start * 512,
    sizeBytes: entry.size * 512, type: entry.type.toLowerCase().padStart(2, '0'),
    name: entry.name ?? '', isActive: entry.bootable ?? false,
  }))
}

test('MBR: primary and logical partitions are those that sfdisk lists', needs('sfdisk'),
  () => inFolder(async (folder) => {
    const image = join(folder, 'disk')
    writeFileSync(image, '')
    truncateSync(image, 64 * MIB)
    sh('sfdisk', ['-q', image], 'label: dos\nsize=8M,type=83,bootable\nsize=4M,type=c\n' +
      'size=40M,type=5\nsize=2M,type=82\nsize=3M,type=83\nsize=4M,type=83\nsize=5M,type=fd\n')
    await withDisk(image, async (store) => {
      const table = await readPartitions(store)
      assert.equal(table?.kind, 'mbr')
      assert.deepEqual(table.partitions, listed(image))
      assert.equal(table.partitions.length, 7)
    })
  }))

test('GPT: partitions are those that sfdisk lists, from the backup too', needs('sfdisk'),
  () => inFolder(async (folder) => {
    const image = join(folder, 'disk')
    writeFileSync(image, '')
    truncateSync(image, 64 * MIB)
    sh('sfdisk', ['-q', image], 'label: gpt\nsize=8M,type=U,name="EFI system"\n' +
      'size=4M,type=L,name="the röot"\nstart=40960,size=3M,type=S\n')
    const expected = listed(image)
    const disk = await open(image, 'r+')
    for (const damage of [undefined, 512 + 20, 1024 + 60]) {
      if (damage !== undefined) await disk.write(Uint8Array.of(0xa5), 0, 1, damage)
      await withDisk(image, async (store) => {
        const table = await readPartitions(store)
        assert.equal(table?.kind, 'gpt')
        assert.deepEqual(table.partitions, expected)
        assert.equal(expected.length, 3)
      })
    }
    await disk.close()
  }))

test('what is neither is not taken for one', () => inFolder(async (folder) => {
  const path = join(folder, 'disk')
  writeFileSync(path, pattern(MIB, 3))
  await withDisk(path, async (store) => {
    assert.equal(await openFileSystem(new Volume(store)), undefined)
    assert.equal(await readPartitions(store), undefined)
  })
}))
