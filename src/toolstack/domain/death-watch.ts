/**
 * What xl's background process does for each domain: waits for its death and acts on it.
 *
 * VIRQ_DOM_EXC says that some domain shut down or died; the control domain then looks which. The
 * action comes from the domain's configuration, by the reason it gave (SHUTDOWN_*).
 */
import {
  SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_soft_reset, SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from '../../abi/xen/sched.ts'
import { VIRQ_DOM_EXC } from '../../abi/xen/xen.ts'
import { Bug } from '../../base/assert.ts'
import type { ControlDomain } from '../../dom0/interfaces.ts'
import type { ShutdownAction } from '../config/domain.ts'
import { dumpCore } from './core-dump.ts'
import type { DomainEnd, DomainSpec } from './libxl.ts'
import type { Tenant } from './tenant.ts'
import type { ToolstackHost } from './toolstack-host.ts'
import { randomUuid } from './uuid.ts'

/** What the watch may do to domains. */
export interface Undertaker {
  tenants(): Iterable<Tenant>
  destroy(domid: number): void
  /** Makes it again; resolves to the new domid, of which `made` hears as soon as it is known. */
  restart(tenant: Tenant, made: (domid: number) => void): Promise<number>
  rename(tenant: Tenant, name: string, uuid?: string): void
  /** Tells the store's clients to look who has died. */
  announce(): void
}

/** A domain that ends sooner than this is restarted only after a pause. */
const QUICK_END_MS = 2000
const RESTART_PAUSE_MS = 2000
/** Of so many domains that were made again we remember the successor. */
const SUCCESSORS_KEPT = 64

const REASONS: Readonly<Record<number, keyof DomainSpec & `on${string}`>> = {
  [SHUTDOWN_poweroff]: 'onPoweroff',
  [SHUTDOWN_reboot]: 'onReboot',
  [SHUTDOWN_crash]: 'onCrash',
  [SHUTDOWN_watchdog]: 'onWatchdog',
  [SHUTDOWN_soft_reset]: 'onSoftReset',
}

/** The action for a domain that shut down with `reason`. */
function actionOf(spec: DomainSpec, reason: number): ShutdownAction {
  // A domain that suspended waits for whoever asked it to.
  if (reason === SHUTDOWN_suspend) return 'preserve'
  const key = REASONS[reason]
  return key === undefined ? 'destroy' : spec[key] as ShutdownAction
}

export class DeathWatch {
  readonly #control: ControlDomain
  readonly #host: ToolstackHost
  readonly #undertaker: Undertaker
  readonly #handled = new Set<number>()
  readonly #waiting = new Map<number, ((end: DomainEnd) => void)[]>()
  readonly #pauses = new Set<() => void>()
  readonly #successors = new Map<number, Promise<number | undefined>>()
  #closed = false
  #restarting = 0

  constructor(control: ControlDomain, host: ToolstackHost, undertaker: Undertaker) {
    this.#control = control
    this.#host = host
    this.#undertaker = undertaker
    const port = control.events.bindVirq(VIRQ_DOM_EXC)
    control.events.onEvent(port, () => this.look())
  }

  /** Domains that ended and will come again. */
  get pendingRestarts(): number {
    return this.#restarting
  }

  /** Resolves when the domain shuts down or is gone. */
  next(domid: number): Promise<DomainEnd> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(domid) ?? []
      waiting.push(resolve)
      this.#waiting.set(domid, waiting)
    })
  }

  /** What was or will be made in place of a domain that ended. */
  async successor(domid: number): Promise<number | undefined> {
    return this.#successors.get(domid)
  }

  /** The domain has been torn down. */
  gone(domid: number): void {
    this.#handled.delete(domid)
    this.#tell(domid, { how: 'destroyed', reason: 0 })
  }

  /** Restarts nothing any more. */
  close(): void {
    this.#closed = true
    for (const cancel of this.#pauses) cancel()
    this.#pauses.clear()
  }

  /** Looks which domains shut down and acts on each once. */
  look(): void {
    this.#undertaker.announce()
    for (const tenant of [...this.#undertaker.tenants()]) {
      const info = this.#control.xenctrl.getDomainInfo(tenant.domid)
      if (!info) {
        this.#undertaker.destroy(tenant.domid)
      } else if (info.shutdown && !this.#handled.has(tenant.domid)) {
        this.#handled.add(tenant.domid)
        this.#ended(tenant, info.shutdownReason)
      }
    }
  }

  #ended(tenant: Tenant, reason: number): void {
    const { domid, spec } = tenant
    const { log } = this.#host
    tenant.console.service()
    const action = actionOf(spec, reason)
    log.info(`Domain ${domid} has shut down, reason code ${reason}`)
    this.#tell(domid, { how: 'shutdown', reason })
    if (tenant.unattended) return
    log.info(`Action for shutdown reason code ${reason} is ${action}`)
    if (!action.startsWith('coredump')) this.#act(tenant, action)
    else void this.#dump(tenant).then(() => this.#act(tenant, action))
  }

  async #dump({ domid, spec }: Tenant): Promise<void> {
    const { images, log } = this.#host
    try {
      const path = this.#host.coreDumpPath(spec.name)
      await dumpCore(this.#control, images.files, domid, path)
      log.info(`Domain ${domid}: its core is in ${path}`)
    } catch (error) {
      if (error instanceof Bug) throw error
      log.error((error as Error).message)
    }
  }

  #act(tenant: Tenant, action: ShutdownAction): void {
    const { domid } = tenant
    const { log } = this.#host
    // Somebody may have destroyed it while it was dumped.
    if (![...this.#undertaker.tenants()].includes(tenant)) return
    switch (action) {
      case 'preserve':
        return
      case 'rename-restart':
        return this.#renameAndRestart(tenant)
      case 'restart': case 'coredump-restart': case 'soft-reset':
        log.info(`Domain ${domid} needs to be cleaned up: destroying the domain`)
        this.#undertaker.destroy(domid)
        return this.#restart(tenant)
      default:
        log.info(`Domain ${domid} needs to be cleaned up: destroying the domain`)
        this.#undertaker.destroy(domid)
    }
  }

  /** Keeps the dead domain under another name and identity. */
  #renameAndRestart(tenant: Tenant): void {
    const again: Tenant = { ...tenant }
    const taken = new Set([...this.#undertaker.tenants()].map((other) => other.spec.name))
    let suffix = 1
    while (taken.has(`${tenant.spec.name}-${suffix}`)) suffix++
    const name = `${tenant.spec.name}-${suffix}`
    this.#undertaker.rename(tenant, name, randomUuid(this.#host.random(16)))
    this.#restart(again)
  }

  #restart(tenant: Tenant): void {
    const lived = this.#host.wallClockMs() - tenant.startedMs
    const pause = lived < QUICK_END_MS ? RESTART_PAUSE_MS : 0
    this.#restarting++
    const successor = new Promise<number | undefined>((resolve) => {
      const cancel = this.#host.delay(pause, () => {
        this.#pauses.delete(cancel)
        void this.#again(tenant, resolve).then(resolve)
      })
      this.#pauses.add(cancel)
    })
    this.#successors.set(tenant.domid, successor)
    const [oldest] = this.#successors.keys()
    if (this.#successors.size > SUCCESSORS_KEPT && oldest !== undefined) {
      this.#successors.delete(oldest)
    }
  }

  async #again(
    tenant: Tenant, made: (domid: number) => void,
  ): Promise<number | undefined> {
    const { log } = this.#host
    try {
      log.info(`Domain ${tenant.spec.name}: rebooting now`)
      return this.#closed ? undefined : await this.#undertaker.restart(tenant, made)
    } catch (error) {
      log.error(`Domain ${tenant.spec.name}: restart failed: ${String(error)}`)
      return undefined
    } finally {
      this.#restarting--
    }
  }

  #tell(domid: number, end: DomainEnd): void {
    const waiting = this.#waiting.get(domid)
    this.#waiting.delete(domid)
    for (const resolve of waiting ?? []) resolve(end)
  }
}
