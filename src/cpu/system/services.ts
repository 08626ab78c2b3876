/**
 * Every system service by name.
 */
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
