/**
 * HYPERVISOR_console_io: the emergency console.
 *
 * What a guest writes becomes lines of the hypervisor's log, "(d1) …", cut where the guest cuts
 * them or at 255 characters; control characters but tabs are dropped, so that a guest cannot play
 * with the reader's terminal. Reading answers nothing: there is no serial line yet.
 */
import { EFAULT, ENOSYS } from '../../abi/xen/errno.ts'
import { __HYPERVISOR_console_io, CONSOLEIO_read, CONSOLEIO_write } from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { HypercallArgs } from './args.ts'
import { columns, simple, type Status } from './operation.ts'

const CHUNK = 128
const chunk = new Uint8Array(CHUNK)

function consoleIo(caller: Vcpu, args: HypercallArgs): Status {
  const cmd = args.u32(0)
  const refusal = caller.host.xsm.consoleIo(caller.domain, cmd)
  if (refusal < 0) return refusal
  if (cmd === CONSOLEIO_read) return 0
  if (cmd !== CONSOLEIO_write) return -ENOSYS
  const count = args.u32(1)
  const now = Math.min(count, CHUNK)
  const from = args.pointer(2)
  const bytes = chunk.subarray(0, now)
  if (!caller.memory.readInto(bytes, from)) return -EFAULT
  for (let i = 0; i < now; i++) putCharacter(caller, bytes[i]!)
  if (now === count) return 0
  args.set(1, count - now)
  args.set(2, from + now)
  args.restart = true
  return 0
}

function putCharacter(caller: Vcpu, code: number): void {
  const { state } = caller.domain
  const length = state.consoleLength
  if (code === 10) return endLine(caller)
  if (code < 32 && code !== 9 || code === 127) return
  state.consoleLine.set(length, code)
  state.consoleLength = length + 1
  if (length + 1 === state.consoleLine.length - 1) endLine(caller)
}

function endLine(caller: Vcpu): void {
  const { state } = caller.domain
  let line = `(d${caller.domain.id}) `
  for (let i = 0; i < state.consoleLength; i++) {
    line += String.fromCharCode(state.consoleLine.get(i))
  }
  state.consoleLength = 0
  caller.host.console.write(`${line}\n`)
}

export const consoleIoCall = simple(__HYPERVISOR_console_io, 'console_io', consoleIo,
  columns.everyone)
