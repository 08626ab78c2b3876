/**
 * A domain of ours, and the steps in which it becomes one: created with a name, nodes and a
 * console; and, once it is known what it boots, built and connected.
 */
import type { Domid } from '../../abi/numbers.ts'
import { CONSOLE_LIMIT } from '../../backends/console.ts'
import { ConsoleEnd } from '../../backends/console-end.ts'
import type { ControlDomain } from '../../dom0/interfaces.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { Xenstored } from '../../xenstore/xenstored.ts'
import type { PvhImage } from '../build/pvh-image.ts'
import { putAtPty } from './console-streams.ts'
import { type CreateOptions, type DomainSpec, ERROR_INVAL, LibxlError } from './libxl.ts'
import { buildPvhDomain, createPvhDomain } from './pvh-domain.ts'
import { connectStore } from './services.ts'
import { writeDomainTree, writeRings } from './store-tree.ts'
import type { ToolstackHost } from './toolstack-host.ts'
import { randomUuid, uuidBytes } from './uuid.ts'

/** What a domain was made from and what serves it. */
export interface Tenant {
  readonly domid: Domid
  spec: DomainSpec
  /** What it is made from when it is made again, if not from the same. */
  next?: DomainSpec
  readonly console: ConsoleEnd
  /** Whether it has memory and devices. */
  isWhole: boolean
  readonly unattended: boolean
  readonly startedMs: number
}

/** What serves domains. */
export interface TenantServices {
  readonly control: ControlDomain
  readonly xenstored: Xenstored
  readonly store: XenstoreClient
  readonly host: ToolstackHost
}

/** Creates a domain that has nothing yet; LibxlError when there can be none. */
export function createTenant(
  { control, host }: TenantServices, spec: DomainSpec, options: CreateOptions, cpupool: number,
): Tenant {
  const uuid = spec.uuid ?? randomUuid(host.random(16))
  const handle = uuidBytes(uuid)
  if (!handle) throw new LibxlError(ERROR_INVAL, `"${uuid}" is not a UUID`)
  return {
    domid: createPvhDomain(control.xenctrl, spec, handle, cpupool),
    spec: { ...spec, uuid }, console: new ConsoleEnd(), isWhole: false,
    startedMs: host.wallClockMs(), unattended: options.unattended ?? false,
  }
}

/** Gives it its nodes, and its console a pseudo-terminal. */
export function enterTenant(
  { store, host }: TenantServices, { domid, spec, console, startedMs }: Tenant,
): void {
  const uuid = spec.uuid ?? ''
  writeDomainTree(store, spec, { domid, uuid, startedMs, consoleLimit: CONSOLE_LIMIT })
  putAtPty(console, host, store, `${domainPath(domid)}/console`)
}

/** Gives it memory with an image in it, and connects its rings; LibxlError when that cannot be. */
export function buildTenant(
  { control, xenstored, store, host }: TenantServices, tenant: Tenant, image: PvhImage,
): void {
  const { domid, spec, console } = tenant
  const built = buildPvhDomain(control, spec, domid, image)
  writeRings(store, built)
  connectStore(control, xenstored, host.schedule, domid, built.storeGfn, built.storePort)
  const page = control.memory.map(domid, [built.consoleGfn])
  console.connectRing(control, host.schedule, domid, page, built.consolePort)
}
