/**
 * Guests in which nothing can be relied upon: stacks and code where there is nothing, random code,
 * and long mode over tables of nonsense. A fault ends the attempt in which it happens: the handler
 * never returns, but goes on with a stack and segments of its own.
 */
import { SCHEDOP_shutdown } from '../../src/abi/xen/sched.ts'
import { __HYPERVISOR_sched_op } from '../../src/abi/xen/xen.ts'
import { type Assembly, EAX, EBX, ECX, EDI, EDX, ESI, ESP } from './assembler.ts'
import { CODE_SELECTOR, DATA_SELECTOR, guestKernel, printWord } from './kernel.ts'
import { interruptTable, rounds, word } from './parts.ts'

/** Physical addresses at which there is nothing, and the local APIC's. */
const HOLE = 0xd000_0000
const LAPIC = 0xfee0_0000
/** The guest has 64 MiB; from here on it uses none. */
const FREE_RAM = 0x200_0000
const RAM_END = 0x400_0000
const VECTORS = 32
const LONG_IDT = 0x320_0000

/**
 * Pushes, pops, calls and returns with a stack in a hole, in a device, and at the edges. The last
 * of them fault, and as a fault cannot be delivered there, the first that does ends the guest.
 */
export function wildStacks(): Uint8Array {
  return storm(20, (a) => {
    const bodies = [
      [0x60], [0x61], [0x9c], [0x9d], [0xc8, 16, 0, 31], [0xe8, 0, 0, 0, 0], [0x1e], [0xc9],
      [0x66, 0x60], [0x66, 0x61], [0xc3], [0xcf], [0xca, 8, 0],
    ]
    for (const body of bodies) {
      for (const at of [HOLE + 0x802, RAM_END + 0x205, LAPIC + 0x803, LAPIC + 6, RAM_END + 5]) {
        attempt(a, () => a.mov(EAX, 0).mov(ESP, at | 0).bytes(0x8b, 0xec).bytes(...body))
      }
    }
  })
}

/** Jumps to where there is nothing, and runs out of memory's end. */
export function wildJumps(): Uint8Array {
  return storm(100, (a) => {
    for (const at of [HOLE, LAPIC, HOLE + 0xfff, 0xffff_fff0, 0xfff_ffff]) {
      attempt(a, () => a.mov(EAX, at | 0).bytes(0xff, 0xe0)) // jmp eax
    }
    a.put(RAM_END - 4, 0xb890_9090 | 0)
    attempt(a, () => a.mov(EAX, RAM_END - 4).bytes(0xff, 0xe0))
  })
}

/** Executes random bytes, with pointers to RAM, to a hole or to a device in the registers. */
export function randomCode(seed: number): Uint8Array {
  const code = FREE_RAM + 0x10_0000
  return storm(4, (a) => {
    interrupts(a)
    // No HLT among them: with interrupts off it would power the guest off.
    a.mov(EDI, code)
    const next = a.fresh('next')
    const taken = a.fresh('taken')
    a.label(next).call('random').bytes(0x88, 0x07) // mov [edi], al
    a.op('and', EAX, 0xff).op('cmp', EAX, 0xf4).when('equal', taken).inc(EDI).label(taken)
    a.op('cmp', EDI, code + 64).when('below', next)
    // What runs on behind them ends in UD2 or INT3.
    a.mov(EAX, 0xcc0b_0fcc | 0).mov(ECX, 60).bytes(0xf3, 0xab)
    for (const at of [FREE_RAM + 0x1000, HOLE, LAPIC + 0x300]) {
      attempt(a, () => {
        for (const register of [EAX, EBX, ECX, EDX, ESI, EDI] as const) a.mov(register, at | 0)
        a.op('and', ECX, 0xffff).mov(ESP, FREE_RAM + 0x2000).bytes(0xe9)
        a.word(code - a.here - 4)
      })
    }
  }, seed)
}

/**
 * Long mode with random entries at every level of its tables: reads, writes and executes random
 * addresses, faults and all, and shuts down in the end, if it has not broken itself before.
 */
export function wildLongMode(seed: number): Uint8Array {
  const tables = 0x300_0000
  return guestKernel((a) => {
    a.put('seed', seed)
    randomTables(a, tables)
    // The lowest 64 MiB are what they are.
    const [pdpt, pd] = [tables + 0x10_0000, tables + 0x10_1000]
    a.put(tables, pdpt | 3).put(tables + 4, 0).put(pdpt, pd | 3).put(pdpt + 4, 0)
    for (let i = 0; i < 32; i++) a.put(pd + 8 * i, i << 21 | 0x83).put(pd + 8 * i + 4, 0)
    enterLongMode(a, tables)
    a.label('again').bytes(0xff, 0x04, 0x25).word('attempts') // inc dword [attempts]
    a.bytes(0x81, 0x3c, 0x25).word('attempts').word(2_000).when('atLeast', 'enough')
    a.bytes(0x48, 0x69, 0xdb).word(0x5851_f42d).bytes(0x48, 0xff, 0xc3) // imul rbx, …; inc rbx
    a.bytes(0x48, 0x89, 0xd8, 0x48, 0xc1, 0xf8, 16) // mov rax, rbx; sar rax, 16
    a.bytes(0x48, 0x8b, 0x08, 0x48, 0x89, 0x08) // mov rcx, [rax]; mov [rax], rcx
    a.bytes(0x0f, 0x01, 0x38, 0xff, 0xd0).jump('again') // invlpg [rax]; call rax
    a.label('enough').mov(EDI, SCHEDOP_shutdown).mov(ESI, 'reason')
    a.mov(EAX, __HYPERVISOR_sched_op).bytes(0x0f, 0x01, 0xd9, 0xeb, 0xfe) // vmmcall; jmp $
  })
}

/** Four tables of entries that lead to one another, to RAM, or anywhere, with random bits. */
function randomTables(a: Assembly, tables: number): void {
  a.mov(EDI, tables).mov(ECX, 4 * 512)
  a.label('entry').push(ECX).call('random').copy(EBX, EAX).call('random').pop(ECX)
  a.copy(ESI, EBX).op('and', ESI, 7).when('equal', 'far')
  // Most without PS, which most levels must not have.
  a.copy(ESI, EBX).op('and', ESI, 0x3010).with('or', EAX, ESI).op('and', EAX, 0x3f7f)
  a.op('or', EAX, tables | 3).op('and', EBX, 0x8000_0000 | 0).jump('next entry')
  a.label('far').op('and', EBX, 0xf | 0x8000_0000)
  a.label('next entry').storeAt(EDI, 0, EAX).storeAt(EDI, 4, EBX)
  a.op('add', EDI, 8).dec(ECX).when('other', 'entry')
}

/** Long mode over `tables`, with an interrupt table that leads to the label `again`. */
function enterLongMode(a: Assembly, tables: number): void {
  word(a, 'attempts', 0)
  word(a, 'reason', 0)
  a.jump('pointers').align(8)
  a.label('long descriptors').word(0).word(0).word(0xffff).word(0xaf9b00)
  a.label('long gdt').bytes(15, 0).word('long descriptors')
  a.label('long idt').bytes(0xff, 0x01).word(LONG_IDT)
  a.label('long fault').mov(ESP, FREE_RAM + 0x1000).jump('again')
  a.label('pointers').mov(EAX, 'long fault').copy(EDX, EAX)
  a.op('and', EAX, 0xffff).op('or', EAX, CODE_SELECTOR << 16)
  a.op('and', EDX, 0xffff_0000 | 0).op('or', EDX, 0x8e00)
  for (let vector = 0; vector < VECTORS; vector++) {
    a.store(LONG_IDT + 16 * vector, EAX).store(LONG_IDT + 16 * vector + 4, EDX)
  }
  a.bytes(0x0f, 0x01, 0x15).word('long gdt').bytes(0x0f, 0x01, 0x1d).word('long idt')
  a.mov(EAX, tables).bytes(0x0f, 0x22, 0xd8)
  a.bytes(0x0f, 0x20, 0xe0).op('or', EAX, 0x20).bytes(0x0f, 0x22, 0xe0) // CR4.PAE
  a.mov(ECX, 0xc000_0080 | 0).bytes(0x0f, 0x32).op('or', EAX, 0x900).bytes(0x0f, 0x30) // LME, NXE
  a.bytes(0x0f, 0x20, 0xc0).op('or', EAX, 0x8001_0000 | 0).bytes(0x0f, 0x22, 0xc0) // PG, WP
  a.bytes(0xea).word('long').bytes(CODE_SELECTOR, 0).label('long')
}

/** A round of attempts, again and again; each round says how many faults there were. */
function storm(times: number, body: (a: Assembly) => void, seed = 1): Uint8Array {
  return guestKernel((a) => {
    a.put('seed', seed)
    word(a, 'faults', 0)
    word(a, 'resume', 0)
    word(a, 'resume.esp', 0)
    const over = a.fresh('over')
    a.jump(over).label('fault').bytes(0xfc).mov(EAX, DATA_SELECTOR)
    for (const segment of [0xd8, 0xc0, 0xd0]) a.bytes(0x8e, segment)
    a.bytes(0xff, 0x05).word('faults') // inc dword [faults]
    a.load(ESP, 'resume.esp').bytes(0xff, 0x25).word('resume') // jmp [resume]
    a.label(over)
    interrupts(a)
    rounds(a, 'round ', times, () => body(a), () => printWord(a, 'faults ', 'faults'))
  })
}

function interrupts(a: Assembly): void {
  for (let vector = 0; vector < VECTORS; vector++) interruptTable(a, vector, 'fault')
}

/** Does something that may fault. General registers but ESP are lost, and flags are as at first. */
function attempt(a: Assembly, body: () => void): void {
  const after = a.fresh('after')
  a.put('resume', after).store('resume.esp', ESP)
  body()
  a.label(after).load(ESP, 'resume.esp').bytes(0x6a, 2, 0x9d) // push 2; popf
}
