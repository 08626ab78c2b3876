/**
 * Guests for tests: one that behaves, and many that do not. Each prints lines on its console.
 */
import { EVTCHNOP_alloc_unbound, EVTCHNOP_init_control } from
  '../../src/abi/xen/event_channel.ts'
import { XenconsInterface } from '../../src/abi/xen/io/console.ts'
import { XenstoreDomainInterface } from '../../src/abi/xen/io/xs_wire.ts'
import { SCHEDOP_yield } from '../../src/abi/xen/sched.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_sched_op, __HYPERVISOR_vcpu_op, DOMID_SELF,
} from '../../src/abi/xen/xen.ts'
import {
  EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP,
} from './assembler.ts'
import {
  DATA_SELECTOR, guestKernel, hypercall, notify, print, printWord, shutdown, vmmcall,
} from './kernel.ts'
import {
  accesses, faultHandlers, guarded, interruptTable, ports, rounds, scramble, strings, wildRing,
  word,
} from './parts.ts'

/** Physical addresses at which there is nothing, and the local APIC's. */
const HOLE = 0xd000_0000
const LAPIC = 0xfee0_0000
/** RAM that no guest here uses otherwise. */
const FREE_RAM = 0x200_0000
const SPECIAL_PAGES = 0xfeff_8000
const ACPI_TABLES = 0xfc00_0000
const PAGE = 4096

/** Prints `tick` and a number, some eight times a second, for ever. */
export function ticking(): Uint8Array {
  return guestKernel((a) => {
    word(a, 'count', 0)
    a.forever(() => {
      printWord(a, 'tick ', 'count')
      a.bytes(0xff, 0x05).word('count') // inc dword [count]
      a.call('wait')
    })
  })
}

/** Says one line and shuts down for a reason. */
export function ending(reason: number): Uint8Array {
  return guestKernel((a) => {
    print(a, `ending for reason ${reason}\n`)
    shutdown(a, reason)
  })
}

/** Says one line and takes a fault that it cannot handle, nor the one in handling it. */
export function tripleFault(): Uint8Array {
  return guestKernel((a) => {
    print(a, 'faulting\n')
    a.jump('load').label('no table').word(0).word(0)
    a.label('load').bytes(0x0f, 0x01, 0x1d).word('no table') // lidt [no table]
    a.bytes(0x0f, 0x0b) // ud2
  })
}

/** Loops in one instruction with interrupts off. */
export function deafLoop(): Uint8Array {
  return guestKernel((a) => {
    print(a, 'looping\n')
    a.bytes(0xfa, 0xeb, 0xfe) // cli; jmp $
  })
}

/** Halts with interrupts off: nothing can wake it, so it has gone down. */
export function deafHalt(): Uint8Array {
  return guestKernel((a) => {
    print(a, 'halting\n')
    a.bytes(0xfa, 0xf4) // cli; hlt
  })
}

/** Prints as fast as it can. */
export function flood(): Uint8Array {
  return guestKernel((a) => {
    a.forever(() => print(a, 'The quick brown fox jumps over the lazy dog, again and again.\n'))
  })
}

/** Any number, any arguments: small ones, wild ones, and pointers to its own memory. */
export function wildHypercalls(): Uint8Array {
  return guestKernel((a) => {
    a.jump('begin')
    a.label('argument').call('random').copy(ESI, EAX).call('random')
    a.copy(EDX, ESI).op('and', EDX, 3)
    a.op('cmp', EDX, 0).when('equal', 'argument.wild')
    a.op('cmp', EDX, 1).when('equal', 'argument.pointer')
    a.op('and', EAX, 0x1f)
    a.label('argument.wild').ret()
    a.label('argument.pointer').op('and', EAX, 0xfff).op('add', EAX, FREE_RAM).ret()
    a.label('begin')
    rounds(a, 'round ', 100, () => {
      scramble(a, FREE_RAM)
      for (const to of [EBX, ECX, EDX, ESI, EDI] as const) {
        a.call('argument').store(`args.${to}`, EAX)
      }
      a.call('random').copy(EBX, EAX).call('random').op('and', EAX, 63)
      // One in eight is out of the table.
      a.op('and', EBX, 7).when('other', 'known').call('random').label('known')
      a.op('cmp', EAX, __HYPERVISOR_sched_op).when('equal', 'harmless')
      a.op('cmp', EAX, __HYPERVISOR_vcpu_op).when('equal', 'harmless')
      a.load(EBX, `args.${EBX}`).load(ECX, `args.${ECX}`).load(EDX, `args.${EDX}`)
      a.load(ESI, `args.${ESI}`).load(EDI, `args.${EDI}`)
      vmmcall(a)
      a.jump('next')
      // It would end or stop itself by these, and do no more harm.
      a.label('harmless').mov(EBX, SCHEDOP_yield)
      vmmcall(a)
      a.label('next')
    })
    for (const to of [EBX, ECX, EDX, ESI, EDI] as const) word(a, `args.${to}`, 0)
  })
}

/** Impossible indexes in the console's ring, both directions, and signals without end. */
export function wildConsole(): Uint8Array {
  return guestKernel((a) => {
    const { in_cons, in_prod, out_cons, out_prod } = XenconsInterface.offsets
    wildRing(a, 'console', [in_cons, in_prod, out_cons, out_prod])
  })
}

/** Nonsense in xenstore's ring: messages, indexes, state. */
export function wildStore(): Uint8Array {
  return guestKernel((a) => {
    const { req_cons, req_prod, rsp_cons, rsp_prod, connection, error, server_features } =
      XenstoreDomainInterface.offsets
    wildRing(a, 'store',
      [req_prod, rsp_cons, req_cons, rsp_prod, connection, error, server_features])
  })
}

/** Allocates every port, signals those that do not exist, and asks for FIFO with wild frames. */
export function wildPorts(): Uint8Array {
  return guestKernel((a) => {
    a.jump('begin').align(8)
    a.label('alloc').word(DOMID_SELF | DOMID_SELF << 16).word(0)
    a.label('send').word(0)
    a.align(8).label('fifo').word(0).word(0).label('fifo.offset').word(0).word(0).word(0).word(0)
    a.label('begin')
    rounds(a, 'round ', 1000, () => {
      hypercall(a, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, 'alloc')
      a.call('random').op('and', EAX, 0x3ffff).store('send', EAX)
      notify(a, 'send')
      a.call('random').op('and', EAX, 0x1ffff).store('fifo', EAX)
      a.call('random').op('and', EAX, 0x1ff8).store('fifo.offset', EAX)
      hypercall(a, __HYPERVISOR_event_channel_op, EVTCHNOP_init_control, 'fifo')
    })
  })
}

/** Every kind of access to addresses where there is no memory, wide and long ones too. */
export function wildAccesses(): Uint8Array {
  return guestKernel((a) => {
    faultHandlers(a)
    word(a, 'stack', 0)
    // CR4.OSFXSR, OSXMMEXCPT and OSXSAVE; CR0.EM and TS off.
    a.bytes(0x0f, 0x20, 0xe0).op('or', EAX, 0x40600).bytes(0x0f, 0x22, 0xe0)
    a.bytes(0x0f, 0x20, 0xc0).op('and', EAX, ~12).bytes(0x0f, 0x22, 0xc0)
    rounds(a, 'round ', 1, () => {
      for (const at of [HOLE, HOLE + 0xff8, LAPIC + 0x20, LAPIC + 0xff9, FREE_RAM]) accesses(a, at)
      for (const at of [HOLE, LAPIC, ACPI_TABLES]) strings(a, at)
      ports(a)
      // The stack in a hole: pushes go nowhere, pops bring ones.
      a.store('stack', ESP).mov(ESP, HOLE + 0x800).push(EAX).pop(EAX)
      a.bytes(0x9c, 0xc8, 0x10, 0, 5) // pushf; enter 16, 5
      a.bytes(0x60, 0x61).load(ESP, 'stack') // pusha; popa
    })
  })
}

/** Changes the instructions that it is about to execute, and sees that it executes the new ones. */
export function changesItself(): Uint8Array {
  return guestKernel((a) => {
    a.jump('begin')
    word(a, 'failures', 0)
    a.label('begin')
    rounds(a, 'round ', 2000, () => {
      // The operand of the instruction right behind the store.
      a.call('random').store('patched', EAX).bytes(0xbb).label('patched').word(0) // mov ebx, ...
      a.with('cmp', EAX, EBX).when('equal', 'first').bytes(0xff, 0x05).word('failures')
      a.label('first')
      // A subroutine in another page, written byte by byte, called, and written again.
      a.call('random').mov(EDI, FREE_RAM + 0xffe)
      // mov byte [edi], 0xbb; mov [edi + 1], eax; mov byte [edi + 5], 0xc3; call edi
      a.bytes(0xc6, 0x07, 0xbb).bytes(0x89, 0x47, 1).bytes(0xc6, 0x47, 5, 0xc3).bytes(0xff, 0xd7)
      a.with('cmp', EAX, EBX).when('equal', 'second').bytes(0xff, 0x05).word('failures')
      a.label('second')
      // A repeated store over code that follows it: NOPs become INC EBX.
      a.mov(EAX, 0x43434343).mov(EBX, 0).mov(EDI, 'sled').mov(ECX, 4).bytes(0xf3, 0xab)
      a.label('sled').bytes(...new Array<number>(16).fill(0x90))
      a.op('cmp', EBX, 16).when('equal', 'third').bytes(0xff, 0x05).word('failures')
      a.label('third').mov(EAX, 0x90909090 | 0).mov(EDI, 'sled').mov(ECX, 4).bytes(0xf3, 0xab)
    }, () => printWord(a, 'failures ', 'failures'))
  })
}

/**
 * Paging on, with random page tables that it changes all the time, and accesses through them. Its
 * handler of page faults skips the instruction, which always has two bytes.
 */
export function wildPaging(): Uint8Array {
  const directory = 0x300_0000
  const table = directory + PAGE
  return guestKernel((a) => {
    interruptTable(a, 14, 'page fault')
    // Identity by 4 MiB pages, but for one entry that leads to the random table.
    a.mov(ECX, 0).mov(EAX, 0x83).mov(EDI, directory)
    a.label('fill').storeAt(EDI, 0, EAX).op('add', EDI, 4).op('add', EAX, 0x40_0000)
    a.inc(ECX).op('cmp', ECX, 1024).when('other', 'fill')
    a.put(directory + 0x400, table | 7)
    a.mov(EAX, directory).bytes(0x0f, 0x22, 0xd8) // mov cr3, eax
    a.bytes(0x0f, 0x20, 0xe0).op('or', EAX, 0x10).bytes(0x0f, 0x22, 0xe0) // CR4.PSE
    a.bytes(0x0f, 0x20, 0xc0).op('or', EAX, 0x8001_0000 | 0).bytes(0x0f, 0x22, 0xc0) // PG, WP
    rounds(a, 'round ', 1000, () => {
      // A random entry: anywhere in 16 MiB that nothing needs, or anywhere at all, or garbage.
      a.call('random').copy(EBX, EAX).call('random').copy(ECX, EAX)
      a.op('and', EBX, 0xffc).op('add', EBX, table)
      a.op('and', ECX, 3).when('equal', 'anything').op('and', EAX, 0xff_f7ff)
      a.op('or', EAX, FREE_RAM)
      a.label('anything').op('cmp', EAX, 0).when('less', 'entry')
      // Of pages below itself, only reading.
      a.op('and', EAX, ~2)
      a.label('entry').bytes(0x89, 0x03) // mov [ebx], eax
      a.call('random').op('and', EAX, 0x3f_ffff).op('add', EAX, 0x4000_0000).copy(EBX, EAX)
      a.op('and', EAX, 8).when('equal', 'no flush').bytes(0x0f, 0x01, 0x3b) // invlpg [ebx]
      a.label('no flush').bytes(0x8b, 0x03) // mov eax, [ebx]
      a.bytes(0x89, 0x03) // mov [ebx], eax
      a.bytes(0xff, 0x03) // inc dword [ebx]
    })
    a.label('page fault').push(EAX).loadStack(EAX, 8).op('add', EAX, 2).storeStack(8, EAX)
    a.pop(EAX).op('add', ESP, 4).bytes(0xcf) // iret
  })
}

/** Writes over all that the domain builder put into its memory, and takes the pages away. */
export function ownPages(): Uint8Array {
  return guestKernel((a) => {
    print(a, 'writing\n')
    const xenmem = 12
    a.jump('begin').align(8)
    // struct xen_add_to_physmap, with shared_info and the grant table in turn.
    a.label('add').word(DOMID_SELF).word(0).word(0).label('add.gfn').word(0)
    // struct xen_remove_from_physmap.
    a.label('remove').word(DOMID_SELF).label('remove.gfn').word(0)
    // struct xen_memory_reservation of one frame.
    a.label('frames').word('frame').word(1).word(0).word(0).word(DOMID_SELF)
    a.label('frame').word(0)
    a.label('begin')
    for (const at of [SPECIAL_PAGES, ACPI_TABLES, 0]) {
      a.call('random').mov(EDI, at).mov(ECX, 8 * PAGE / 4).bytes(0xf3, 0xab) // rep stosd
    }
    notify(a, 'console.port')
    notify(a, 'store.port')
    a.mov(EBP, 0)
    a.label('page')
    a.copy(EAX, EBP).op('add', EAX, SPECIAL_PAGES / PAGE)
    a.store('frame', EAX).bytes(0xa3).word('add.gfn').bytes(0xa3).word('remove.gfn')
    hypercall(a, xenmem, 7, 'add') // XENMEM_add_to_physmap
    hypercall(a, xenmem, 1, 'frames') // XENMEM_decrease_reservation
    hypercall(a, xenmem, 6, 'frames') // XENMEM_populate_physmap
    hypercall(a, xenmem, 15, 'remove') // XENMEM_remove_from_physmap
    notify(a, 'console.port')
    notify(a, 'store.port')
    a.inc(EBP).op('cmp', EBP, 8).when('other', 'page')
    // At last its own memory, from the top down to this code.
    a.mov(EBP, 0x3fff)
    a.label('own').bytes(0x89, 0x2d).word('frame')
    hypercall(a, xenmem, 1, 'frames')
    a.dec(EBP).jump('own')
  })
}

/** Faults of many kinds again and again, with handlers that go on. */
export function faultStorm(): Uint8Array {
  return guestKernel((a) => {
    faultHandlers(a)
    rounds(a, 'round ', 500, () => {
      for (const bytes of [
        [0x0f, 0x0b], [0xcc], [0xf1], [0x0f, 0xff, 0xc0], [0xf7, 0xf1], [0xcd, 0x80],
        [0x8e, 0xd8], [0x0f, 0x00, 0xd8], [0x0f, 0x22, 0xe0], [0x0f, 0x23, 0xf8], [0x0f, 0x30],
      ]) {
        a.mov(EAX, 0x1234_5678).mov(ECX, 0).mov(EDX, 1)
        guarded(a, bytes)
      }
      a.mov(EAX, DATA_SELECTOR).bytes(0x8e, 0xd8) // mov ds, eax
    })
  })
}
