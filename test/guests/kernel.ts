/**
 * A PVH kernel around a few instructions: an ELF file with one segment and Xen's note, and the
 * routines that every guest has.
 *
 * A guest begins in 32-bit protected mode with flat segments, without paging (reference:
 * xen/include/public/arch-x86/hvm/start_info.h), and stays there unless it says otherwise.
 */
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN } from '../../src/abi/xen/hvm/params.ts'
import { XenconsInterface } from '../../src/abi/xen/io/console.ts'
import { SCHEDOP_shutdown, SCHEDOP_yield } from '../../src/abi/xen/sched.ts'
import { EVTCHNOP_send } from '../../src/abi/xen/event_channel.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_hvm_op, __HYPERVISOR_sched_op, DOMID_SELF,
} from '../../src/abi/xen/xen.ts'
import { XEN_ELFNOTE_PHYS32_ENTRY } from '../../src/toolstack/build/kernel.ts'
import { Assembly, EAX, EBX, ECX, EDI, EDX, ESI, ESP, type Value } from './assembler.ts'

const LOAD_ADDRESS = 0x10_0000
/** Memory behind the code, zeros at first. */
const BSS_BYTES = 0x10_0000
export const CODE_SELECTOR = 8
export const DATA_SELECTOR = 16
const STACK_TOP = 0x9_f000
const HVMOP_get_param = 1
const CODE_AT = 0x1000
const RING = XenconsInterface.offsets
const OUT_SIZE = 2048

/** Assembles a guest; `body` is what it does once its console is there. */
export function guestKernel(body: (a: Assembly) => void): Uint8Array {
  const a = new Assembly(LOAD_ADDRESS)
  segments(a)
  a.mov(ESP, STACK_TOP)
  parameter(a, HVM_PARAM_CONSOLE_PFN, 'console.page', 12)
  parameter(a, HVM_PARAM_CONSOLE_EVTCHN, 'console.port', 0)
  parameter(a, HVM_PARAM_STORE_PFN, 'store.page', 12)
  parameter(a, HVM_PARAM_STORE_EVTCHN, 'store.port', 0)
  body(a)
  shutdown(a, 0)
  routines(a)
  return elf(a.finish())
}

/** A flat descriptor table, and its segments: at first the selectors are nobody's. */
function segments(a: Assembly): void {
  a.jump('segments').align(8).label('descriptors').word(0).word(0)
  a.word(0x0000_ffff).word(0x00cf_9b00).word(0x0000_ffff).word(0x00cf_9300)
  a.label('descriptor table').bytes(0x17, 0).word('descriptors')
  a.label('segments').bytes(0x0f, 0x01, 0x15).word('descriptor table') // lgdt
  a.bytes(0xea).word('code').bytes(CODE_SELECTOR, 0).label('code') // jmp far
  a.mov(EAX, DATA_SELECTOR)
  for (const segment of [0xd8, 0xc0, 0xd0, 0xe0, 0xe8]) a.bytes(0x8e, segment)
}

/** A hypercall whose arguments are known; the result is in EAX. */
export function hypercall(a: Assembly, number: number, ...args: readonly Value[]): void {
  const registers = [EBX, ECX, EDX, ESI, EDI] as const
  args.forEach((value, i) => a.mov(registers[i]!, value))
  a.mov(EAX, number)
  vmmcall(a)
}

export function vmmcall(a: Assembly): void {
  a.bytes(0x0f, 0x01, 0xd9)
}

/** Prints a text; no register survives. */
export function print(a: Assembly, text: string): void {
  const at = a.fresh('text')
  const over = a.fresh('over')
  const { length } = new TextEncoder().encode(text)
  a.jump(over).label(at).text(text).label(over)
  a.mov(ESI, at).mov(ECX, length).call('print')
}

/** Waits until all that was printed is read; no register survives. */
export function drain(a: Assembly): void {
  const again = a.fresh('again')
  const read = a.fresh('read')
  a.label(again).load(EDI, 'console.page').loadAt(EAX, EDI, RING.out_prod)
  a.bytes(0x2b, 0x87).word(RING.out_cons).when('equal', read) // sub eax, [edi + out_cons]
  hypercall(a, __HYPERVISOR_sched_op, SCHEDOP_yield, 0)
  a.jump(again).label(read)
}

/** Prints a text, the word at `address` in hexadecimal, and a line's end. */
export function printWord(a: Assembly, text: string, address: Value): void {
  print(a, text)
  a.load(EAX, address).call('printHex')
}

/** Ends the domain for a reason (SHUTDOWN_*). */
export function shutdown(a: Assembly, reason: number): void {
  const at = a.fresh('reason')
  const over = a.fresh('over')
  a.jump(over).label(at).word(reason).label(over)
  hypercall(a, __HYPERVISOR_sched_op, SCHEDOP_shutdown, at)
  a.forever(() => a.bytes(0xf4))
}

/** Signals one of its own ports, whose number is at a label. */
export function notify(a: Assembly, port: string): void {
  hypercall(a, __HYPERVISOR_event_channel_op, EVTCHNOP_send, port)
}

/** Asks for a parameter, and keeps its lower half, shifted, at a label. */
function parameter(a: Assembly, index: number, name: string, shift: number): void {
  const at = a.fresh('parameter')
  const over = a.fresh('over')
  a.jump(over).align(8).label(at).word(DOMID_SELF).word(index).label(`${at}.value`).word(0).word(0)
  a.label(name).word(0).label(over)
  hypercall(a, __HYPERVISOR_hvm_op, HVMOP_get_param, at)
  a.load(EAX, `${at}.value`).shift('shl', EAX, shift).store(name, EAX)
}

function routines(a: Assembly): void {
  // print: ECX bytes at ESI into the ring, one by one, yielding while it is full.
  a.label('print')
  a.load(EDI, 'console.page')
  a.label('print.next')
  a.loadAt(EAX, EDI, RING.out_prod).copy(EDX, EAX)
  a.bytes(0x2b, 0x97).word(RING.out_cons) // sub edx, [edi + out_cons]
  a.op('cmp', EDX, OUT_SIZE).when('atLeast', 'print.full')
  a.op('and', EAX, OUT_SIZE - 1)
  a.bytes(0x8a, 0x16) // mov dl, [esi]
  a.bytes(0x88, 0x94, 0x07).word(RING.out) // mov [edi + eax + out], dl
  a.bytes(0xff, 0x87).word(RING.out_prod) // inc dword [edi + out_prod]
  a.inc(ESI).dec(ECX).when('other', 'print.next')
  a.jump('print.notify')
  a.label('print.full').push(ECX).push(ESI).call('print.notify')
  hypercall(a, __HYPERVISOR_sched_op, SCHEDOP_yield, 0)
  a.pop(ESI).pop(ECX).load(EDI, 'console.page').jump('print.next')
  a.label('print.notify')
  notify(a, 'console.port')
  a.ret()

  // printHex: EAX in eight digits, and a line's end.
  a.label('digits').text('00000000\n').align(4)
  a.label('printHex').mov(EDI, 'digits').mov(ECX, 8)
  a.label('printHex.next').shift('rol', EAX, 4).copy(EDX, EAX).op('and', EDX, 15)
  a.op('add', EDX, 48).op('cmp', EDX, 58).when('below', 'printHex.digit').op('add', EDX, 39)
  a.label('printHex.digit').bytes(0x88, 0x17) // mov [edi], dl
  a.inc(EDI).dec(ECX).when('other', 'printHex.next')
  a.mov(ESI, 'digits').mov(ECX, 9).jump('print')

  // random: the next number of a xorshift generator in EAX; EDX is lost.
  a.label('seed').word(0x1234_5678)
  a.label('random').load(EAX, 'seed')
  a.copy(EDX, EAX).shift('shl', EDX, 13).with('xor', EAX, EDX)
  a.copy(EDX, EAX).shift('shr', EDX, 17).with('xor', EAX, EDX)
  a.copy(EDX, EAX).shift('shl', EDX, 5).with('xor', EAX, EDX)
  a.store('seed', EAX).ret()

  // wait: until about an eighth of a second has passed, by the time stamp counter's upper bits.
  a.label('wait').bytes(0x0f, 0x31, 0x0f, 0xac, 0xd0, 28).copy(EBX, EAX) // rdtsc; shrd eax, edx, 28
  a.label('wait.again').bytes(0xf3, 0x90) // pause
  a.bytes(0x0f, 0x31, 0x0f, 0xac, 0xd0, 28).with('cmp', EAX, EBX).when('equal', 'wait.again')
  a.ret()
}

/** A 32-bit ELF file with one loadable segment and one of notes. */
function elf(code: Uint8Array): Uint8Array {
  const notesAt = CODE_AT + code.length + 15 & ~15
  const bytes = new Uint8Array(notesAt + 20)
  const view = new DataView(bytes.buffer)
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1])
  const words = (at: number, values: readonly number[]) =>
    values.forEach((value, i) => view.setUint32(at + 4 * i, value, true))
  words(16, [2 | 3 << 16, 1, LOAD_ADDRESS, 52, 0, 0, 52 | 32 << 16, 2])
  const memory = code.length + BSS_BYTES
  words(52, [1, CODE_AT, LOAD_ADDRESS, LOAD_ADDRESS, code.length, memory, 7, 0x1000])
  words(84, [4, notesAt, 0, 0, 20, 20, 4, 4])
  bytes.set(code, CODE_AT)
  words(notesAt, [4, 4, XEN_ELFNOTE_PHYS32_ENTRY, 0x6e6558, LOAD_ADDRESS])
  return bytes
}
