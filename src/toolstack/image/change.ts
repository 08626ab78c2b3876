/**
 * xenolith-img resize, snapshot: images changed.
 */
import { openImage } from '../../storage/open.ts'
import {
  applySnapshot, createSnapshot, deleteSnapshot, listSnapshots, qcow2Of,
} from '../../storage/qcow2/snapshots.ts'
import { createImage } from './create.ts'
import { snapshotRows } from './inspect.ts'
import { parseSize } from './sizes.ts'
import { formatNamed, type ImageCommand, type ImageWorld, refuse, sourceFormat } from './world.ts'

export const resizeCommand: ImageCommand = {
  name: 'resize',
  usage: 'resize [-f FORMAT] [--shrink] FILE [+|-]SIZE',
  summary: 'gives the disk another size; what is cut off is lost, so that needs --shrink',
  options: [sourceFormat, { key: 'shrink', name: 'shrink' }],
  operands: [2, 2],
  signed: true,
  async run({ world, options, operands: [path = '', size = ''] }) {
    const amount = parseSize(size.replace(/^[+-]/, ''))
    const store = await openImage(
      world.host, path, { access: 'write', format: formatNamed(options.get('format')) })
    try {
      const sign = size.startsWith('+') ? 1 : size.startsWith('-') ? -1 : 0
      const sizeBytes = sign === 0 ? amount : store.sizeBytes + sign * amount
      if (sizeBytes < 0) refuse('the disk is smaller than that')
      if (sizeBytes < store.sizeBytes && !options.has('shrink')) {
        refuse('the disk would lose its end; --shrink allows that')
      }
      await store.resize(sizeBytes)
      world.out(`${path}: ${sizeBytes} bytes\n`)
      return 0
    } finally {
      await store.close()
    }
  },
}

const ACTIONS = ['list', 'create', 'apply', 'delete'] as const

export const snapshotCommand: ImageCommand = {
  name: 'snapshot',
  usage: 'snapshot [-f FORMAT] [-l | -c NAME | -a NAME | -d NAME] FILE',
  summary: 'lists, creates, goes back to or deletes snapshots within a qcow2 image;\n' +
    '            for a VHD, -c NAME makes a differencing disk of that name on top of it',
  options: [
    sourceFormat, { key: 'list', letter: 'l' }, { key: 'create', letter: 'c', value: true },
    { key: 'apply', letter: 'a', value: true }, { key: 'delete', letter: 'd', value: true },
  ],
  operands: [1, 1],
  async run({ world, options, operands: [path = ''] }) {
    const wanted = ACTIONS.filter((action) => options.has(action))
    if (wanted.length > 1) refuse('only one of -l, -c, -a and -d at a time')
    const [action = 'list'] = wanted
    const name = options.get(action) ?? ''
    const store = await openImage(world.host, path, {
      access: action === 'list' ? 'read' : 'write', format: formatNamed(options.get('format')),
    })
    const isChild = store.format === 'vpc' && action === 'create'
    try {
      if (isChild) return 0
      const disk = qcow2Of(store)
      switch (action) {
        case 'create': await createSnapshot(disk, name, world.nowMs()); break
        case 'apply': await applySnapshot(disk, name); break
        case 'delete': await deleteSnapshot(disk, name); break
        case 'list': {
          const rows = (await listSnapshots(disk)).map(({ id, name: tag, dateSec }) =>
            ({ id, name: tag, 'date-sec': dateSec }))
          world.out(`${snapshotRows(rows).join('\n')}\n`)
        }
      }
      return 0
    } finally {
      await store.close()
      if (isChild) await createChild(world, path, name)
    }
  },
}

async function createChild(world: ImageWorld, parent: string, child: string): Promise<void> {
  await createImage(world, {
    path: child, format: 'vpc', backingFile: world.host.files.relative(child, parent),
    backingFormat: 'vpc', options: new Map(),
  })
}
