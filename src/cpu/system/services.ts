/**
 * Every service by name: those of the system, and those that do without the processor.
 */
import { randomService } from '../../isa/instructions/random.ts'
import type { Service } from '../../isa/machine.ts'
import { x87Services } from '../../isa/x87/services.ts'
import type { SystemService } from '../interfaces.ts'
import { controlServices } from './control.ts'
import { farServices } from './far.ts'
import { interruptServices } from './interrupts.ts'
import { iretServices } from './iret.ts'
import { modelSpecificServices } from './model-specific.ts'
import { portServices } from './ports.ts'
import { segmentServices } from './segments.ts'
import { syscallServices } from './syscall.ts'
import { tableServices } from './tables.ts'
import { xsaveServices } from './xsave.ts'

export const systemServices: Readonly<Record<string, SystemService>> = {
  ...controlServices, ...farServices, ...interruptServices, ...iretServices,
  ...modelSpecificServices, ...portServices, ...segmentServices, ...syscallServices,
  ...tableServices, ...xsaveServices,
}

/** Services over `Machine` alone, as those that are given the processor too. */
function plain(services: Readonly<Record<string, Service>>): Record<string, SystemService> {
  return Object.fromEntries(Object.entries(services).map(([name, service]) =>
    [name, (machine, _processor, instruction) => service(machine, instruction)]))
}

const random: SystemService = (machine, processor, instruction) => {
  const bits = (): bigint => BigInt(processor.random()) << 32n | BigInt(processor.random())
  randomService(bits)(machine, instruction)
}

export const allServices: Readonly<Record<string, SystemService>> = {
  ...systemServices, ...plain(x87Services), random,
}
