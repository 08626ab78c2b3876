/**
 * What a core does about each exit of its processor.
 *
 * The work of an exit is bounded. A guest that does what no guest may do gets its architectural
 * fault, or is crashed; nothing of it reaches the core itself.
 */
import { RAX, RBX, RCX, RDX } from '../abi/x86/registers.ts'
import { HVM_PARAM_TRIPLE_FAULT_REASON } from '../abi/xen/hvm/params.ts'
import { SHUTDOWN_MAX, SHUTDOWN_poweroff, SHUTDOWN_reboot } from '../abi/xen/sched.ts'
import type { ExitKind } from '../cpu/cpu.ts'
import { P2M_POD, P2M_RAM_RW } from '../cpu/p2m-format.ts'
import { RFLAGS } from '../cpu/state.ts'
import type { GuestVcpu } from '../guest/guest-type.ts'
import { VPF_blocked, VPF_down } from '../hypervisor/domain/state.ts'
import { p2mType } from '../hypervisor/memory/p2m.ts'
import { populateNow } from '../hypervisor/memory/demand.ts'
import type { HypercallDoor } from './hypercall.ts'
import type { CoreProcessor } from './processor.ts'

/** Deals with an exit that wants something from the machine. False: the instruction that asked
 * faults with #GP(0). */
export function dispatchExit(
  kind: ExitKind, cpu: CoreProcessor, guest: GuestVcpu, door: HypercallDoor,
): boolean {
  switch (kind) {
    case 'wrmsr': return writeMsr(cpu, guest)
    case 'rdmsr': return readMsr(cpu, guest)
    default:
      serve(kind, cpu, guest, door)
      return true
  }
}

function serve(
  kind: ExitKind, cpu: CoreProcessor, guest: GuestVcpu, door: HypercallDoor,
): void {
  const { exit } = cpu
  switch (kind) {
    case 'hypercall': return door.enter(guest.vcpu, cpu.context)
    case 'cpuid': return answerCpuid(cpu, guest)
    case 'mmio-read':
      if (isMemory(guest, exit.address)) return cpu.retry()
      return cpu.complete(guest.mmioRead(exit.address, exit.size))
    case 'mmio-write':
      if (isMemory(guest, exit.address)) return cpu.retry()
      guest.mmioWrite(exit.address, exit.size, exit.value)
      return cpu.complete(0n)
    case 'in': return cpu.complete(guest.portRead(exit.address, exit.size))
    case 'out': return guest.portWrite(exit.address, exit.size, exit.value)
    case 'halt': return halt(cpu, guest)
    case 'shutdown': return tripleFault(guest)
    case 'delivery':
      if (!isMemory(guest, exit.address)) tripleFault(guest)
      return
    // A processor that waits for another in a loop makes room for it.
    case 'pause': return guest.vcpu.host.services.scheduler.yield(guest.vcpu)
    case 'budget':
    case 'window':
    case 'kick': return
    default: guest.vcpu.domain.crash(`unknown exit ${String(kind)}`)
  }
}

/** Whether there is memory now where there was none: what is populated on demand, which it is here
 * or was meanwhile for another vcpu. */
function isMemory({ vcpu: { domain } }: GuestVcpu, address: number): boolean {
  const gfn = Math.floor(address / 4096)
  const type = p2mType(domain.p2m.get(gfn))
  if (type !== P2M_POD) return type === P2M_RAM_RW
  if (!populateNow(domain, gfn)) domain.crash('out of populate-on-demand memory')
  return true
}

function readMsr(cpu: CoreProcessor, guest: GuestVcpu): boolean {
  const value = guest.readMsr(cpu.exit.address)
  if (value === undefined) return false
  cpu.context.gpr.set(RAX, value & 0xffff_ffffn)
  cpu.context.gpr.set(RDX, value >> 32n & 0xffff_ffffn)
  return true
}

function writeMsr(cpu: CoreProcessor, guest: GuestVcpu): boolean {
  if (!guest.writeMsr(cpu.exit.address, cpu.exit.value)) return false
  if (guest.takeCodeChanged()) cpu.flushCode()
  return true
}

/** Answers a 'cpuid' exit. */
export function answerCpuid(cpu: CoreProcessor, guest: GuestVcpu): void {
  const { eax, ebx, ecx, edx } = guest.cpuid(cpu.exit.address, Number(cpu.exit.value))
  const { gpr } = cpu.context
  gpr.set(RAX, BigInt(eax))
  gpr.set(RBX, BigInt(ebx))
  gpr.set(RCX, BigInt(ecx))
  gpr.set(RDX, BigInt(edx))
}

/** With interrupts off nothing but an NMI ends HLT: the vcpu has gone down, as in Xen. */
function halt(cpu: CoreProcessor, guest: GuestVcpu): void {
  const { vcpu } = guest
  if (Number(cpu.context.systemFlags) & RFLAGS.IF) {
    vcpu.setFlag(VPF_blocked)
    return
  }
  vcpu.setFlag(VPF_down)
  if (vcpu.domain.onlineVcpus() > 0) return
  vcpu.clearFlag(VPF_down)
  vcpu.domain.shutdown(SHUTDOWN_poweroff)
}

/** What a triple fault means is a parameter; a reboot unless it says otherwise. */
function tripleFault(guest: GuestVcpu): void {
  const { domain } = guest.vcpu
  const wanted = Number(domain.state.hvmParams.get(HVM_PARAM_TRIPLE_FAULT_REASON))
  const reason = wanted > 0 && wanted <= SHUTDOWN_MAX ? wanted : SHUTDOWN_reboot
  domain.host.console.print(
    `d${domain.id}v${guest.vcpu.id} Triple fault - invoking HVM shutdown action ${reason}`)
  domain.shutdown(reason)
}
