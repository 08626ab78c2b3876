/**
 * xenolith-img info, check: what images are, and whether they are sound.
 */
import type { BlockStore } from '../../storage/block-store.ts'
import { openImage } from '../../storage/open.ts'
import { type Census, repairCounts, takeCensus } from '../../storage/qcow2/census.ts'
import { readSnapshots } from '../../storage/qcow2/snapshot-table.ts'
import { listSnapshots } from '../../storage/qcow2/snapshots.ts'
import { Qcow2Store } from '../../storage/qcow2/store.ts'
import { checkVhd } from '../../storage/vhd/check.ts'
import { parentNames } from '../../storage/vhd/parent.ts'
import { VhdStore } from '../../storage/vhd/store.ts'
import { formatSize } from './sizes.ts'
import {
  formatNamed, type ImageCommand, type ImageWorld, outputOption, sourceFormat, wantsJson,
} from './world.ts'

/** What `info` tells, under the names that qemu-img gives it. */
type Info = Record<string, unknown>

async function infoOf(world: ImageWorld, path: string, store: BlockStore): Promise<Info> {
  const info: Info = { filename: path, format: store.format, 'virtual-size': store.sizeBytes }
  if (store instanceof Qcow2Store) {
    const { facts, clusterBytes } = store.image
    info['cluster-size'] = clusterBytes
    info['dirty-flag'] = facts.dirty
    if (facts.backingFile !== undefined) {
      info['backing-filename'] = facts.backingFile
      info['full-backing-filename'] = world.host.files.resolve(path, facts.backingFile)
      if (facts.backingFormat !== undefined) info['backing-filename-format'] = facts.backingFormat
    }
    const snapshots = await listSnapshots(store)
    if (snapshots.length > 0) {
      info['snapshots'] = snapshots.map((snapshot) => ({
        id: snapshot.id, name: snapshot.name, 'vm-state-size': snapshot.vmStateBytes,
        'date-sec': snapshot.dateSec,
      }))
    }
    const modern = {
      'compression-type': facts.compression, 'lazy-refcounts': facts.lazyRefcounts,
      'refcount-bits': 2 ** facts.refcountOrder, corrupt: facts.corrupt,
    }
    info['format-specific'] = {
      type: 'qcow2',
      data: facts.version === 3 ? { compat: '1.1', ...modern }
        : { compat: '0.10', 'compression-type': 'zlib', 'refcount-bits': 16 },
    }
  }
  if (store instanceof VhdStore) {
    const { header, isDifferencing, blockBytes, file } = store.image
    info['subformat'] = isDifferencing ? 'differencing' : header ? 'dynamic' : 'fixed'
    if (header) info['cluster-size'] = blockBytes
    if (header && isDifferencing) {
      const [name] = await parentNames(file, header)
      info['backing-filename'] = name
    }
  }
  return info
}

function humanInfo(info: Info): string {
  const size = info['virtual-size'] as number
  const lines = [
    `image: ${info['filename']}`, `file format: ${info['format']}`,
    `virtual size: ${formatSize(size)} (${size} bytes)`,
  ]
  for (const [key, label] of [
    ['subformat', 'subformat'], ['cluster-size', 'cluster size'],
    ['backing-filename', 'backing file'], ['backing-filename-format', 'backing file format'],
  ] as const) {
    if (info[key] !== undefined) lines.push(`${label}: ${info[key]}`)
  }
  if (info['dirty-flag'] === true) lines.push('cleanly shut down: no')
  const specific = info['format-specific'] as { data: Record<string, unknown> } | undefined
  for (const [key, value] of Object.entries(specific?.data ?? {})) {
    lines.push(`${key.replaceAll('-', ' ')}: ${value}`)
  }
  const snapshots = info['snapshots'] as { id: string, name: string, 'date-sec': number }[]
  if (snapshots) lines.push('snapshots:', ...snapshotRows(snapshots).map((row) => `  ${row}`))
  return `${lines.join('\n')}\n`
}

export function snapshotRows(
  snapshots: readonly { id: string, name: string, 'date-sec': number }[],
): string[] {
  return ['ID      NAME                            DATE', ...snapshots.map((snapshot) => {
    const date = new Date(snapshot['date-sec'] * 1000).toISOString()
    return `${snapshot.id.padEnd(8)}${snapshot.name.padEnd(32)}${date}`
  })]
}

export const infoCommand: ImageCommand = {
  name: 'info',
  usage: 'info [-f FORMAT] [--output=human|json] FILE',
  summary: 'tells what an image is',
  options: [sourceFormat, outputOption],
  operands: [1, 1],
  async run({ world, options, operands: [path = ''] }) {
    const isJson = wantsJson(options)
    const store = await openImage(world.host, path, {
      access: 'read', format: formatNamed(options.get('format')), alone: true,
    })
    try {
      const info = await infoOf(world, path, store)
      world.out(isJson ? `${JSON.stringify(info, null, 2)}\n` : humanInfo(info))
      return 0
    } finally {
      await store.close()
    }
  },
}

/** What `check` found, under the names that qemu-img gives it. */
interface Report {
  readonly filename: string
  readonly format: string
  readonly leaks: number
  readonly corruptions: number
  readonly problems: readonly string[]
  readonly 'leaks-fixed'?: number
  readonly 'corruptions-fixed'?: number
  readonly 'allocated-clusters': number
  readonly 'compressed-clusters': number
}

const CORRUPT = 2
const LEAKS = 3
const UNCHECKABLE = 63

function wrongsOf(census: Census): number {
  return census.uncounted.length + census.flags.length + census.damage.length
}

async function checkQcow2(path: string, store: Qcow2Store, repair: boolean): Promise<Report> {
  const { image } = store
  const look = async (): Promise<Census> =>
    takeCensus(image, await readSnapshots(image.file, image.facts))
  const before = await look()
  const fix = repair && before.damage.length === 0
  if (fix) {
    await image.mutex.run(async () => {
      await image.markDirty()
      await repairCounts(image, before)
    })
  }
  const after = fix ? await look() : before
  return {
    filename: path, format: store.format, leaks: after.leaks.length, corruptions: wrongsOf(after),
    problems: [
      ...after.damage,
      ...after.uncounted.map((cluster) => `cluster ${cluster} is used more than it is counted`),
      ...after.leaks.map((cluster) => `cluster ${cluster} is counted more than it is used`),
      ...after.flags.map(([table, at]) => `the flag of the entry at ${table + at} is wrong`),
    ].slice(0, 100),
    ...fix ? {
      'leaks-fixed': before.leaks.length - after.leaks.length,
      'corruptions-fixed': wrongsOf(before) - wrongsOf(after),
    } : {},
    'allocated-clusters': after.dataClusters, 'compressed-clusters': after.compressedClusters,
  }
}

function humanReport(report: Report): string {
  const lines = [...report.problems]
  const fixed = (report['leaks-fixed'] ?? 0) + (report['corruptions-fixed'] ?? 0)
  if (fixed > 0) {
    lines.push(`Repaired: ${report['leaks-fixed']} leaked clusters, ` +
      `${report['corruptions-fixed']} errors.`)
  }
  if (report.corruptions > 0) lines.push(`${report.corruptions} errors: the image is damaged.`)
  if (report.leaks > 0) lines.push(`${report.leaks} leaked clusters: space is lost, but no data.`)
  if (report.corruptions + report.leaks === 0) lines.push('No errors were found.')
  return `${lines.join('\n')}\n`
}

export const checkCommand: ImageCommand = {
  name: 'check',
  usage: 'check [-f FORMAT] [-r] [--output=human|json] FILE',
  summary: 'looks for damage and lost space, and with -r repairs counts (exit codes 2 and 3)',
  options: [sourceFormat, outputOption, { key: 'repair', letter: 'r' }],
  operands: [1, 1],
  async run({ world, options, operands: [path = ''] }) {
    const isJson = wantsJson(options)
    const repair = options.has('repair')
    const store = await openImage(world.host, path, {
      access: repair ? 'write' : 'read', format: formatNamed(options.get('format')),
      alone: true, unrepaired: true,
    })
    try {
      let report: Report
      if (store instanceof Qcow2Store) {
        report = await checkQcow2(path, store, repair)
      } else if (store instanceof VhdStore) {
        const { problems, blocks } = checkVhd(store.image)
        report = {
          filename: path, format: store.format, leaks: 0, corruptions: problems.length, problems,
          'allocated-clusters': blocks, 'compressed-clusters': 0,
        }
      } else {
        world.err('Raw images have nothing to check.\n')
        return UNCHECKABLE
      }
      world.out(isJson ? `${JSON.stringify(report, null, 2)}\n` : humanReport(report))
      return report.corruptions > 0 ? CORRUPT : report.leaks > 0 ? LEAKS : 0
    } finally {
      await store.close()
    }
  },
}
