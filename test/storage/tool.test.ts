/**
 * xenolith-img and qemu-img on the same images.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import { runImageTool } from '../../src/toolstack/image/main.ts'
import { inFolder, pattern } from './folder.ts'
import { assertClean, qemuImg, withQemuImg } from './qemu-img.ts'

const MIB = 1 << 20

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly lines: readonly string[]
}

/** Runs the tool in this process. */
async function run(...words: string[]): Promise<Ran> {
  let out = ''
  let err = ''
  const lines: string[] = []
  const code = await runImageTool(words, {
    host: { files: nodeHostFiles, decompressor: nodeDecompressor },
    out: (text) => { out += text },
    err: (text) => { err += text },
    progress: (line) => lines.push(line),
    nowMs: () => 1_700_000_000_000,
    randomBytes: (count) => pattern(count, 1),
  })
  return { code, out, err, lines }
}

async function succeed(...words: string[]): Promise<Ran> {
  const ran = await run(...words)
  assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.out}${ran.err}`)
  return ran
}

/** A disk with data, zeros, and data again up to an odd end. */
function content(): Uint8Array {
  const bytes = new Uint8Array(5 * MIB + 512)
  bytes.set(pattern(MIB, 1))
  bytes.set(pattern(512, 2), 3 * MIB + 4096)
  bytes.set(pattern(MIB, 3), 4 * MIB + 512)
  return bytes
}

for (const [format, options] of [
  ['qcow2', ''], ['qcow2', 'compat=0.10,cluster_size=4k'], ['qcow2', 'refcount_bits=1'],
  ['vpc', ''], ['vpc', 'subformat=fixed'], ['raw', ''],
] as const) {
  test(`convert to ${format} (${options}) and back: the same disk, sparse, to both tools`,
    withQemuImg, () => inFolder(async (folder) => {
      const raw = join(folder, 'raw')
      const image = join(folder, 'image')
      await writeFile(raw, content())
      const set = options === '' ? [] : ['-o', options]
      const { lines } = await succeed('convert', '-p', '-O', format, ...set, raw, image)
      assert.match(lines.at(-1)!, /100\.0%/)
      qemuImg('compare', '-f', 'raw', '-F', format, raw, image)
      await succeed('compare', '-s', '-F', format, raw, image)
      if (format === 'qcow2') assertClean(image)
      assert((await stat(image)).blocks * 512 < 4 * MIB)
      await succeed('convert', '-f', format, '-O', 'raw', image, join(folder, 'back'))
      assert.equal(Buffer.compare(await readFile(join(folder, 'back')), content()), 0)
    }))
}

interface MapRun {
  readonly start: number
  length: number
  readonly data: boolean
  zero: boolean
  readonly offset?: number
}

/** A map without the holes that qemu-img sees in the host's file: Node cannot ask for them. */
function withoutHoles(map: readonly MapRun[]): MapRun[] {
  const runs: MapRun[] = []
  for (const run of map) {
    const last = runs.at(-1)
    if (run.data) run.zero = false
    if (run.data && last?.data && last.offset! + last.length === run.offset) {
      last.length += run.length
    } else {
      runs.push(run)
    }
  }
  return runs
}

test('info and map say what qemu-img says, in JSON', withQemuImg, () => inFolder(async (folder) => {
  const base = join(folder, 'base')
  const top = join(folder, 'top')
  await writeFile(join(folder, 'raw'), content())
  await succeed('convert', '-O', 'qcow2', '-o', 'cluster_size=64k', join(folder, 'raw'), base)
  await succeed('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', top, '6M')
  qemuImg('snapshot', '-c', 'one', base)
  const qemuIo = spawnSync('qemu-io',
    ['-f', 'qcow2', '-c', 'write -P 7 2M 64k', '-c', 'write -z 1M 128k', top], { encoding: 'utf8' })
  assert.equal(qemuIo.status, 0, qemuIo.stderr)
  for (const path of [base, top]) {
    const theirs = JSON.parse(qemuImg('info', '--output=json', path)) as Record<string, unknown>
    const ours = JSON.parse((await succeed('info', '--output=json', path)).out) as typeof theirs
    for (const key of [
      'format', 'virtual-size', 'cluster-size', 'dirty-flag', 'backing-filename',
      'full-backing-filename', 'backing-filename-format',
    ]) assert.deepEqual(ours[key], theirs[key], key)
    const specific = theirs['format-specific'] as { data: Record<string, unknown> }
    delete specific.data['extended-l2']
    assert.deepEqual(ours['format-specific'], specific)
    const map = JSON.parse(qemuImg('map', '--output=json', path)) as MapRun[]
    assert.deepEqual(
      JSON.parse((await succeed('map', '--output=json', path)).out), withoutHoles(map))
  }
  assert.match((await succeed('info', base)).out, /virtual size: 5 MiB \(5243392 bytes\)[^]*one/)
  assert.match((await succeed('map', top)).out, /^0x200000 +0x10000 /m)
}))

test('resize: larger with a sign, smaller only when told', withQemuImg, () =>
  inFolder(async (folder) => {
    for (const format of ['raw', 'qcow2', 'vpc']) {
      const path = join(folder, format)
      await succeed('create', '-f', format, path, '10M')
      await succeed('resize', '-f', format, path, '+30M')
      assert.match((await run('resize', '-f', format, path, '-1M')).err, /--shrink/)
      await succeed('resize', '-f', format, '--shrink', path, '-1M')
      const info = JSON.parse(qemuImg('info', '-f', format, '--output=json', path)) as
        Record<string, unknown>
      assert.equal(info['virtual-size'], 39 * MIB, format)
    }
    assertClean(join(folder, 'qcow2'))
  }))

test('snapshot: within qcow2, and as a differencing disk on a VHD', withQemuImg, () =>
  inFolder(async (folder) => {
    const qcow2 = join(folder, 'disk.qcow2')
    await succeed('create', '-f', 'qcow2', qcow2, '4M')
    await succeed('snapshot', '-c', 'before', qcow2)
    assert.match((await succeed('snapshot', '-l', qcow2)).out, /1 +before +2023-11-14T/)
    assert.match(qemuImg('snapshot', '-l', qcow2), /before/)
    await succeed('snapshot', '-a', 'before', qcow2)
    await succeed('snapshot', '-d', '1', qcow2)
    assertClean(qcow2)
    const vhd = join(folder, 'disk.vhd')
    await succeed('create', '-f', 'vhd', vhd, '4M')
    await succeed('snapshot', '-c', join(folder, 'child.vhd'), vhd)
    const { out } = await succeed('info', join(folder, 'child.vhd'))
    assert.match(out, /subformat: differencing[^]*backing file: \.\/disk\.vhd/)
    await succeed('compare', vhd, join(folder, 'child.vhd'))
  }))

test('check finds what qemu-img finds, and repairs it', withQemuImg, () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    await writeFile(join(folder, 'raw'), content())
    await succeed('convert', '-O', 'qcow2', join(folder, 'raw'), path)
    assert.match((await succeed('check', path)).out, /No errors/)
    // Cluster 200 is counted and not there; cluster 4, of the disk's first data, has no count.
    for (const [cluster, count] of [[200, 1], [5, 0]] as const) {
      const file = await nodeHostFiles.open(path, 'write')
      await file.write(2 * 65536 + cluster * 2, Uint8Array.of(0, count))
      await file.truncate(201 * 65536)
      await file.close()
    }
    const theirs = spawnSync('qemu-img', ['check', '--output=json', path], { encoding: 'utf8' })
    const ours = await run('check', '--output=json', path)
    const [a, b] = [theirs.stdout, ours.out].map((text) =>
      JSON.parse(text) as { leaks: number, corruptions: number })
    assert.equal(ours.code, theirs.status)
    assert.equal(b!.leaks, a!.leaks)
    assert(b!.corruptions > 0 && a!.corruptions > 0)
    await succeed('check', '-r', path)
    assertClean(path)
    await succeed('compare', '-f', 'raw', join(folder, 'raw'), path)
    assert.equal((await run('check', join(folder, 'raw'))).code, 63)
  }))

test('bad input is answered in a sentence, and touches nothing', () => inFolder(async (folder) => {
  const path = join(folder, 'disk')
  await writeFile(path, pattern(4096, 8))
  for (const [words, message] of [
    [['frobnicate'], /no command 'frobnicate'/],
    [['create', '-f', 'qcow2', path], /needs a size/],
    [['create', '-f', 'vmdk', path, '1G'], /unknown format 'vmdk'/],
    [['create', '-f', 'qcow2', path, '1Q'], /'1Q' is no size/],
    [['create', '-f', 'qcow2', path, '99999999P'], /is no size/],
    [['create', '-f', 'qcow2', '-o', 'cluster_size=3k', path, '1G'], /power of two/],
    [['create', '-f', 'qcow2', '-o', 'colour=red', path, '1G'], /no option 'colour'/],
    [['create', '-f', 'qcow2', '-o', 'compat=9', path, '1G'], /compat is one of/],
    [['create', '-f', 'vpc', path, '3T'], /2040 GiB/],
    [['create', '-f', 'qcow2', '-b', path, join(folder, 'new')], /say -F raw/],
    [['create', '-f', 'qcow2', '-b', 'gone', join(folder, 'new')], /gone: No such file/],
    [['info'], /too few arguments[^]*Usage:/],
    [['info', '--output=xml', path], /human or json/],
    [['info', '-Z', path], /unknown option 'Z'/],
    [['info', '-f', 'qcow2', path], /no magic|clusters of/],
    [['resize', path, '1M'], /its format is not known/],
    [['snapshot', '-f', 'raw', '-c', 'x', path], /no internal snapshots in raw/],
    [['info', join(folder, 'gone')], /gone: No such file or directory/],
  ] as const) {
    const { code, err } = await run(...words)
    assert.equal(code, 1, words.join(' '))
    assert.match(err, message)
  }
  assert.equal((await run('compare', path, join(folder, 'gone'))).code, 2)
  assert.deepEqual(new Uint8Array(await readFile(path)), pattern(4096, 8))
}))

/** The progress bar after so many of four MiB. */
const bar = (mib: number): string => `[${'='.repeat(10 * mib).padEnd(40)}] ${
  ['  0.0', ' 25.0', ' 50.0', ' 75.0', '100.0'][mib]}%`
const script = join(import.meta.dirname, '../../xenolith-img')

test('the progress bar grows with what is done, when it is asked for', () =>
  inFolder(async (folder) => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')] as const
    await writeFile(from, Buffer.alloc(4 * MIB, 'data'))
    const bars = [1, 2, 3, 4].map(bar)
    assert.deepEqual((await succeed('convert', '-p', from, to)).lines, bars)
    assert.deepEqual((await succeed('compare', '-p', from, to)).lines, bars)
    assert.deepEqual((await succeed('convert', from, to)).lines, [])
    await writeFile(from, '')
    assert.deepEqual((await succeed('convert', '-p', from, to)).lines, [])
  }))

test('at a terminal the bars lie over one another, elsewhere there are none', () =>
  inFolder(async (folder) => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')] as const
    await writeFile(from, Buffer.alloc(4 * MIB, 'data'))
    const command = `'${script}' convert -p '${from}' '${to}'`
    const shown = (program: string, words: string[]): string => {
      const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' })
      assert.equal(status, 0, stdout + stderr)
      return stdout + stderr
    }
    assert.equal(shown('script', ['-qec', command, '/dev/null']),
      [1, 2, 3, 4].map((mib) => `\r${bar(mib)}`).join('') + '\r\n')
    assert.equal(shown('sh', ['-c', command]), '')
  }))

test('the script runs the tool', () => {
  const { status, stdout } = spawnSync(script, ['help'], { encoding: 'utf8' })
  assert.equal(status, 0)
  assert.match(stdout, /convert .*SOURCE TARGET/)
})

test('two images that differ: where, and exit code 1', () => inFolder(async (folder) => {
  const [a, b] = [join(folder, 'a'), join(folder, 'b')] as const
  const bytes = content()
  await writeFile(a, bytes)
  bytes[3 * MIB + 77] = 1
  await writeFile(b, bytes)
  const { code, out } = await run('compare', a, b)
  assert.deepEqual([code, out], [1, `The contents differ at byte ${3 * MIB + 77}.\n`])
}))
