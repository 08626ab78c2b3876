/**
 * Two guests that send each other events by turns, and do nothing but wait between.
 *
 * The first waits in SCHEDOP_block, for its upcall; the second in SCHEDOP_poll, for the port.
 * Interrupts stay off: the pending byte is all that there is of the upcall.
 */
import { EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain } from
  '../../src/abi/xen/event_channel.ts'
import { HVMOP_set_param } from '../../src/abi/xen/hvm/hvm_op.ts'
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR } from
  '../../src/abi/xen/hvm/params.ts'
import { XENMAPSPACE_shared_info, XENMEM_add_to_physmap } from '../../src/abi/xen/memory.ts'
import { SharedInfo32, VcpuInfo32 } from '../../src/abi/xen/shared-info-32.ts'
import { SCHEDOP_block, SCHEDOP_poll } from '../../src/abi/xen/sched.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_hvm_op, __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op, DOMID_SELF,
} from '../../src/abi/xen/xen.ts'
import { type Assembly, EAX } from './assembler.ts'
import { guestKernel, hypercall, notify, print, printWord } from './kernel.ts'

/** Where shared_info is put, in place of RAM. */
const SHARED_INFO = 0x50_0000
const SELECTOR = SHARED_INFO + VcpuInfo32.offsets.evtchn_pending_sel
const PENDING = SHARED_INFO + SharedInfo32.offsets.evtchn_pending
const VECTOR = 0x40

/** Offers a port to the domain `other`, says which, and answers so many events. */
export function pong(other: number, times: number): Uint8Array {
  return guestKernel((a) => {
    const offer = words(a, DOMID_SELF | other << 16, 0)
    const callback = words(a, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, VECTOR,
      HVM_PARAM_CALLBACK_TYPE_VECTOR << 24)
    mapSharedInfo(a)
    hypercall(a, __HYPERVISOR_hvm_op, HVMOP_set_param, callback)
    hypercall(a, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, offer)
    keepPort(a, offer, 4)
    printWord(a, 'port ', 'port')
    a.times(times, () => {
      awaitEvent(a, () => hypercall(a, __HYPERVISOR_sched_op, SCHEDOP_block, 0))
      notify(a, 'port')
    })
    print(a, 'done\n')
  })
}

/** Connects to the port that `pong` offers, sends so many events and waits for each answer. */
export function ping(other: number, remotePort: number, times: number): Uint8Array {
  return guestKernel((a) => {
    const connection = words(a, other, remotePort, 0)
    mapSharedInfo(a)
    hypercall(a, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, connection)
    keepPort(a, connection, 8)
    // A new connection is signalled once.
    takeEvent(a)
    print(a, 'begin\n')
    const poll = words(a, 'port', 1, 0, 0)
    a.times(times, () => {
      notify(a, 'port')
      awaitEvent(a, () => hypercall(a, __HYPERVISOR_sched_op, SCHEDOP_poll, poll))
    })
    print(a, 'done\n')
  })
}

/** Words of data in the middle of the code; answers the name of the first. */
function words(a: Assembly, ...values: readonly (number | string)[]): string {
  const over = a.fresh('over')
  const name = a.fresh('words')
  a.jump(over).align(8).label(name)
  for (const value of values) a.word(value)
  a.label(over)
  return name
}

function mapSharedInfo(a: Assembly): void {
  const place = words(a, DOMID_SELF, XENMAPSPACE_shared_info, 0, SHARED_INFO >>> 12)
  hypercall(a, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, place)
}

/** Keeps the answer, `offset` bytes behind a label, as the word `port`. */
function keepPort(a: Assembly, answer: string, offset: number): void {
  const over = a.fresh('over')
  a.jump(over).label('port').word(0).label(over)
  a.mov(EAX, answer).loadAt(EAX, EAX, offset).store('port', EAX)
}

/** Takes the event of the port, if it is pending: the carry flag says so. */
function takeEvent(a: Assembly): void {
  a.load(EAX, 'port').bytes(0xf0, 0x0f, 0xb3, 0x05).word(PENDING) // lock btr [pending], eax
}

/** Waits until the port's event has come, and takes it. */
function awaitEvent(a: Assembly, wait: () => void): void {
  const [again, come] = [a.fresh('again'), a.fresh('come')]
  a.label(again)
  a.bytes(0xc6, 0x05).word(SHARED_INFO).bytes(0) // mov byte [upcall pending], 0
  a.mov(EAX, 0).bytes(0x87, 0x05).word(SELECTOR) // xchg [selector], eax
  takeEvent(a)
  a.when('below', come)
  wait()
  a.jump(again).label(come)
}
