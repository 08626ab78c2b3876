/**
 * xen/include/public/callback.h: where a PV guest is entered.
 */
import { u16, ulong } from '../../base/layout/scalar.ts'
import { struct } from '../../base/layout/struct.ts'

export const CALLBACKTYPE_event = 0
export const CALLBACKTYPE_failsafe = 1
export const CALLBACKTYPE_syscall = 2
export const CALLBACKTYPE_nmi = 4
export const CALLBACKTYPE_sysenter = 5
export const CALLBACKTYPE_syscall32 = 7
export const CALLBACKF_mask_events = 1
export const CALLBACKOP_register = 0
export const CALLBACKOP_unregister = 1

export const CallbackRegister = struct('struct callback_register', {
  type: u16, flags: u16, address: ulong,
})
export const CallbackUnregister = struct('struct callback_unregister', {
  type: u16, _unused: u16,
})
