/**
 * The xenstore tree of a domain, as libxl writes it, permissions and all.
 *
 * The control domain owns almost everything and the domain may read it (n0,rN); a few nodes belong
 * to the domain (nN), which is how it can answer control requests and publish what it offers.
 */
import type { Permissions } from '../../xenstore/permissions.ts'
import type { StoreAccess, XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { DomainSpec } from './libxl.ts'

/** What the tree says of a domain beside its specification. */
export interface DomainFacts {
  readonly domid: number
  readonly uuid: string
  /** Milliseconds since 1970. */
  readonly startedMs: number
  readonly consoleLimit: number
}

/** Where a domain's rings are. */
export interface RingFacts {
  readonly domid: number
  readonly storePort: number
  readonly storeGfn: number
  readonly consolePort: number
  readonly consoleGfn: number
}

const NONE = 0
const READ = 1

/** n0: the control domain's alone. */
const controlOnly: Permissions = [{ domid: 0, access: NONE }]

/** n0,rN */
function readable(domid: number): Permissions {
  return [{ domid: 0, access: NONE }, { domid, access: READ }]
}

/** nN */
function owned(domid: number): Permissions {
  return [{ domid, access: NONE }]
}

function put(store: StoreAccess, path: string, permissions: Permissions, value = ''): void {
  store.write(path, value)
  store.setPermissions(path, permissions)
}

/** The nodes that exist before there is any domain beside the control domain. */
export function writeHostTree(store: XenstoreClient, memoryKib: number): void {
  store.transaction((tree) => {
    tree.mkdir('/tool')
    put(tree, '/tool/xenstored', controlOnly)
    put(tree, '/local/domain/0/domid', controlOnly, '0')
    put(tree, '/local/domain/0/name', controlOnly, 'Domain-0')
    put(tree, '/local/domain/0/memory/target', controlOnly, `${memoryKib}`)
    put(tree, '/local/domain/0/memory/static-max', controlOnly, `${memoryKib}`)
    put(tree, '/local/pool/0/name', controlOnly, 'Pool-0')
    tree.mkdir('/vm')
    tree.mkdir('/libxl')
  })
}

/** Writes a domain's nodes in one transaction: all but what is in its memory. */
export function writeDomainTree(
  store: XenstoreClient, spec: DomainSpec, facts: DomainFacts,
): void {
  store.transaction((tree) => {
    const { domid } = facts
    const home = domainPath(domid)
    const read = readable(domid)
    const vm = `/vm/${facts.uuid}`
    put(tree, home, read)
    put(tree, vm, read)
    put(tree, `${vm}/name`, read, spec.name)
    put(tree, `${vm}/uuid`, read, facts.uuid)
    put(tree, `${vm}/start_time`, read, (facts.startedMs / 1000).toFixed(2))
    const values: [string, string][] = [
      ['vm', vm],
      ['name', spec.name],
      ['cpu', ''],
      ['memory', ''],
      ['memory/static-max', `${spec.maxMemoryKib}`],
      ['memory/target', `${spec.memoryKib}`],
      ['memory/videoram', '0'],
      ['device', ''],
      ['device/suspend', ''],
      ['control', ''],
      ['control/platform-feature-multiprocessor-suspend', '1'],
      ['control/platform-feature-xs_reset_watches', '1'],
      ['domid', `${domid}`],
      ['store', ''],
    ]
    for (const [name, value] of values) put(tree, `${home}/${name}`, read, value)
    for (let vcpu = 0; vcpu < spec.maxVcpus; vcpu++) {
      put(tree, `${home}/cpu/${vcpu}`, read)
      const state = vcpu < spec.vcpus ? 'online' : 'offline'
      put(tree, `${home}/cpu/${vcpu}/availability`, read, state)
    }
    for (const name of DOMAIN_OWNED) put(tree, `${home}/${name}`, owned(domid))
    writeConsole(tree, facts)
    put(tree, `/libxl/${domid}/type`, controlOnly, spec.type)
    put(tree, `/libxl/${domid}/dm-version`, controlOnly, 'qemu_xen')
  })
}

/** Writes where the rings are, once the domain has its memory. */
export function writeRings(store: XenstoreClient, facts: RingFacts): void {
  store.transaction((tree) => {
    const home = domainPath(facts.domid)
    const values: [string, number][] = [
      ['store/port', facts.storePort],
      ['store/ring-ref', facts.storeGfn],
      ['console/port', facts.consolePort],
      ['console/ring-ref', facts.consoleGfn],
    ]
    for (const [name, value] of values) {
      put(tree, `${home}/${name}`, readable(facts.domid), `${value}`)
    }
  })
}

/** Nodes that the domain itself writes. */
const DOMAIN_OWNED = [
  'device/suspend/event-channel', 'control/shutdown', 'control/feature-poweroff',
  'control/feature-reboot', 'control/feature-suspend', 'control/sysrq', 'data', 'drivers',
  'feature', 'attr', 'error',
]

function writeConsole(tree: StoreAccess, facts: DomainFacts): void {
  const { domid } = facts
  const read = readable(domid)
  const front = `${domainPath(domid)}/console`
  const back = `${domainPath(0)}/backend/console/${domid}/0`
  const shared: Permissions = [{ domid, access: NONE }, { domid: 0, access: READ }]
  put(tree, front, read)
  put(tree, `${front}/backend`, read, back)
  put(tree, `${front}/backend-id`, shared, '0')
  put(tree, `${front}/limit`, read, `${facts.consoleLimit}`)
  put(tree, `${front}/type`, read, 'xenconsoled')
  put(tree, `${front}/output`, read, 'pty')
  put(tree, `${front}/tty`, read)
  const records: [string, Permissions][] = [
    [back, read], [`/libxl/${domid}/device/console/0`, controlOnly],
  ]
  for (const [record, permissions] of records) {
    put(tree, record, permissions)
    put(tree, `${record}/frontend`, permissions, front)
    if (permissions === controlOnly) put(tree, `${record}/backend`, permissions, back)
    put(tree, `${record}/frontend-id`, permissions, `${domid}`)
    put(tree, `${record}/online`, permissions, '1')
    put(tree, `${record}/state`, permissions, '1')
    put(tree, `${record}/protocol`, permissions, 'vt100')
  }
}

/** Removes all that the store holds of a domain. */
export function removeDomainTree(store: XenstoreClient, domid: number): void {
  store.transaction((tree) => {
    const vm = tree.read(`${domainPath(domid)}/vm`)
    if (vm?.startsWith('/vm/')) tree.remove(vm)
    tree.remove(domainPath(domid))
    tree.remove(`/libxl/${domid}`)
    const backends = `${domainPath(0)}/backend`
    const kinds = tree.directory(backends).map((kind) => `${backends}/${kind}`)
    for (const kind of kinds) tree.remove(`${kind}/${domid}`)
    // Like libxl, leave no empty directories of back-ends behind.
    for (const path of [...kinds, backends]) {
      if (tree.read(path) !== undefined && tree.directory(path).length === 0) tree.remove(path)
    }
  })
}

/** The name of a domain, as the store has it. */
export function nameOf(store: StoreAccess, domid: number): string | undefined {
  return store.read(`${domainPath(domid)}/name`)
}

/** The domain of that name. */
export function domidOf(store: StoreAccess, name: string): number | undefined {
  const domid = store.directory('/local/domain').find((id) => nameOf(store, Number(id)) === name)
  return domid === undefined ? undefined : Number(domid)
}
