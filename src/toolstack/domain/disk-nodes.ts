/**
 * The xenstore nodes of block devices, as libxl writes them.
 *
 * A raw image or device is served as by Linux (backend/vbd), any other format as by QEMU
 * (backend/qdisk). There is no hotplug script to wait for: an image is open before its nodes are
 * written.
 */
import type { Permissions } from '../../xenstore/permissions.ts'
import type { StoreAccess, XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { DiskSpec } from '../config/disk.ts'
import type { DiskSummary } from './libxl.ts'

export const DISK_KINDS = ['vbd', 'qdisk'] as const
export type DiskKind = typeof DISK_KINDS[number]

const NONE = 0
const READ = 1
const SCRIPT = '/etc/xen/scripts/block'
/** How libxl calls the formats when it speaks to QEMU. */
const QDISK_FORMATS: Readonly<Record<string, string>> = { raw: 'aio' }

export function diskKind({ format, backend }: DiskSpec): DiskKind {
  return backend === 'phy' || backend === undefined && format === 'raw' ? 'vbd' : 'qdisk'
}

function frontendPath(domid: number, devid: number): string {
  return `${domainPath(domid)}/device/vbd/${devid}`
}

export function backendPath(kind: DiskKind, domid: number, devid: number): string {
  return `${domainPath(0)}/backend/${kind}/${domid}/${devid}`
}

function recordPath(domid: number, devid: number): string {
  return `/libxl/${domid}/device/vbd/${devid}`
}

function putAll(
  store: StoreAccess, path: string, permissions: Permissions,
  values: readonly (readonly [string, string])[],
): void {
  store.write(path, '')
  store.setPermissions(path, permissions)
  for (const [name, value] of values) {
    store.write(`${path}/${name}`, value)
    store.setPermissions(`${path}/${name}`, permissions)
  }
}

/** Writes a device's nodes; from then on it has a back-end. */
export function writeDiskNodes(
  store: XenstoreClient, domid: number, devid: number, spec: DiskSpec,
): void {
  const kind = diskKind(spec)
  const front = frontendPath(domid, devid)
  const back = backendPath(kind, domid, devid)
  const path = spec.path ?? ''
  const shown = kind === 'vbd' ? path : `${QDISK_FORMATS[spec.format] ?? spec.format}:${path}`
  const values: [string, string][] = [
    ['frontend', front], ['params', shown],
    ...kind === 'vbd' ? [['script', SCRIPT] as [string, string]] : [],
    ['frontend-id', `${domid}`], ['online', '1'], ['removable', spec.removable ? '1' : '0'],
    ['bootable', '1'], ['state', '1'], ['dev', spec.vdev], ['type', kind === 'vbd' ? 'phy' : kind],
    ['mode', spec.writable ? 'w' : 'r'], ['device-type', spec.isCdrom ? 'cdrom' : 'disk'],
    ...spec.directIoSafe ? [['direct-io-safe', '1'] as [string, string]] : [],
    ['discard-enable', spec.discard ?? true ? '1' : '0'], ['specification', 'xen'],
  ]
  const readable: Permissions = [{ domid: 0, access: NONE }, { domid, access: READ }]
  store.transaction((tree) => {
    const parent = `${domainPath(domid)}/device/vbd`
    if (tree.read(parent) === undefined) putAll(tree, parent, readable, [])
    putAll(tree, front, [{ domid, access: NONE }, { domid: 0, access: READ }], [
      ['backend', back], ['backend-id', '0'], ['state', '1'], ['virtual-device', `${devid}`],
      ['device-type', spec.isCdrom ? 'cdrom' : 'disk'], ['trusted', '1'],
    ])
    putAll(tree, recordPath(domid, devid), [{ domid: 0, access: NONE }],
      [...values, ['backend', back]])
    putAll(tree, back, readable, [...values, ['hotplug-status', 'connected']])
  })
}

/** Asks the front-end to let its device go. */
export function askForDetach(store: XenstoreClient, backend: string): void {
  store.transaction((tree) => {
    tree.write(`${backend}/online`, '0')
    tree.write(`${backend}/state`, '5')
  })
}

export function removeDiskNodes(store: XenstoreClient, domid: number, devid: number): void {
  store.transaction((tree) => {
    const back = tree.read(`${recordPath(domid, devid)}/backend`)
    tree.remove(frontendPath(domid, devid))
    tree.remove(recordPath(domid, devid))
    if (back === undefined) return
    tree.remove(back)
    // Like libxl, leave no empty directories of back-ends behind.
    for (let i = 0, path = back; i < 3; i++) {
      path = path.slice(0, path.lastIndexOf('/'))
      if (tree.directory(path).length > 0) break
      tree.remove(path)
    }
  })
}

/** What `xl block-list` shows of a domain. */
export function readDisks(store: StoreAccess, domid: number): DiskSummary[] {
  const ids = store.directory(`/libxl/${domid}/device/vbd`).map(Number).sort((a, b) => a - b)
  return ids.map((devid) => {
    const front = frontendPath(domid, devid)
    const number = (name: string): number => {
      const text = store.read(`${front}/${name}`)
      return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : -1
    }
    return {
      devid, domid, state: number('state'), eventChannel: number('event-channel'),
      ringRef: number('ring-ref'),
      backend: store.read(`${recordPath(domid, devid)}/backend`) ?? '',
    }
  })
}
