/**
 * Parts of which misbehaving guests are made.
 */
import { type Assembly, EAX, EBX, ECX, EDI, EDX, ESI, ESP } from './assembler.ts'
import { drain, CODE_SELECTOR, notify, print, printWord } from './kernel.ts'

const PAGE = 4096
/** Where guests keep their interrupt table; RAM that nothing else uses. */
const INTERRUPT_TABLE = 0x310_0000
/** RAM as the source and target of string instructions. */
const STRING_RAM = 0x280_0000

/** A word of data, in the middle of the code. */
export function word(a: Assembly, name: string, value: number): void {
  const over = a.fresh('over')
  a.jump(over).label(name).word(value).label(over)
}

/** For ever: `body` so many times, then a line with the number of the round. */
export function rounds(
  a: Assembly, text: string, times: number, body: () => void, atEnd: () => void = () => {},
): void {
  word(a, 'rounds', 0)
  a.forever(() => {
    a.times(times, body)
    a.bytes(0xff, 0x05).word('rounds') // inc dword [rounds]
    atEnd()
    printWord(a, text, 'rounds')
  })
}

/** Puts a random word to a random place of the page at `page`, now a small one, now a wild one. */
export function scramble(a: Assembly, page: number): void {
  const wild = a.fresh('wild')
  a.call('random').copy(EBX, EAX).op('and', EBX, 0xffc).op('add', EBX, page)
  a.call('random').op('and', EAX, 1).when('equal', wild)
  a.call('random').op('and', EAX, 0xff).storeAt(EBX, 0, EAX)
  a.label(wild).call('random').bytes(0x09, 0x03) // or [ebx], eax
}

/** Random words over a ring's page, its indexes most of all, and signals of its port. */
export function wildRing(a: Assembly, name: string, indexes: readonly number[]): void {
  print(a, 'writing\n')
  drain(a)
  a.forever(() => {
    for (const index of indexes) {
      a.call('random').load(EDI, `${name}.page`).storeAt(EDI, index, EAX)
      notify(a, `${name}.port`)
      // Near the last one, so that what lies in the ring is taken for messages.
      a.call('random').op('and', EAX, 0x3ff).load(EDI, `${name}.page`).storeAt(EDI, index, EAX)
      notify(a, `${name}.port`)
    }
    a.times(16, () => {
      a.call('random').copy(ECX, EAX).op('and', ECX, PAGE - 4)
      a.call('random').op('and', EAX, 0x1f).load(EDI, `${name}.page`)
      a.bytes(0x89, 0x04, 0x0f) // mov [edi + ecx], eax
    })
  })
}

/** Instructions of all widths with one operand in memory at EDI, given by their bytes. */
const WITH_MEMORY: readonly (readonly number[])[] = [
  [0x8a, 0x07], [0x88, 0x07], [0x66, 0x8b, 0x07], [0x66, 0x89, 0x07], [0x8b, 0x07], [0x89, 0x07],
  [0x01, 0x07], [0x03, 0x07], [0xf0, 0xff, 0x07], [0x87, 0x07], [0xf0, 0x0f, 0xb1, 0x0f],
  [0xf0, 0x0f, 0xc7, 0x0f], // cmpxchg8b
  [0xff, 0x37], [0x8f, 0x07], // push, pop
  [0x0f, 0xa3, 0x07], [0x0f, 0xab, 0x07], // bt, bts
  [0x0f, 0x10, 0x07], [0x0f, 0x11, 0x07], [0x0f, 0x12, 0x07], // movups, movlps
  [0x0f, 0x28, 0x07], [0x0f, 0x29, 0x07], // movaps
  [0x0f, 0x6f, 0x07], [0x0f, 0x7f, 0x07], [0x0f, 0xe7, 0x07], // movq, movntq
  [0x0f, 0xef, 0x07], [0x66, 0x0f, 0xef, 0x07], // pxor
  [0xdd, 0x07], [0xdd, 0x1f], [0xdb, 0x2f], [0xdb, 0x3f], // fld, fstp of 64 and 80 bits
  [0xd9, 0x37], [0xd9, 0x27], [0xdb, 0xe3], // fnstenv, fldenv, fninit
  [0xdd, 0x37], [0xdd, 0x27], [0xdb, 0xe3], // fnsave, frstor, fninit
  [0x0f, 0xae, 0x07], [0x0f, 0xae, 0x0f], [0x0f, 0xae, 0x1f], // fxsave, fxrstor, stmxcsr
  [0x0f, 0xae, 0x27], [0x0f, 0xae, 0x2f], [0x0f, 0xae, 0x37], // xsave, xrstor, xsaveopt
  [0x0f, 0xc7, 0x27], [0x0f, 0xc7, 0x2f], [0x0f, 0xc7, 0x1f], // xsavec, xsaves, xrstors
  [0x0f, 0x01, 0x07], [0x0f, 0x01, 0x0f], [0x0f, 0x01, 0x27], // sgdt, sidt, smsw
  [0x0f, 0xae, 0x3f], [0x0f, 0x18, 0x07], // clflush, prefetch
  [0x62, 0x07], // bound
]

/** One access of each kind; the handlers of `faultHandlers` must be there. */
export function accesses(a: Assembly, at: number): void {
  for (const bytes of WITH_MEMORY) {
    a.mov(EDI, at).mov(EAX, 3).mov(EDX, 0)
    guarded(a, bytes)
  }
}

/** An instruction that may fault, and be skipped. */
export function guarded(a: Assembly, bytes: readonly number[]): void {
  const after = a.fresh('after')
  a.put('resume', after).bytes(...bytes).label(after)
}

/** Handlers for every exception: they go on after the `guarded` instruction. */
export function faultHandlers(a: Assembly): void {
  const over = a.fresh('over')
  for (let vector = 0; vector < 20; vector++) {
    const coded = vector === 8 || vector === 17 || vector >= 10 && vector <= 14
    interruptTable(a, vector, coded ? 'coded fault' : 'plain fault')
  }
  a.jump(over).label('resume').word(0)
  a.label('coded fault').op('add', ESP, 4)
  a.label('plain fault').push(EAX).load(EAX, 'resume').storeStack(4, EAX).pop(EAX)
  a.bytes(0xcf).label(over) // iret
}

/** String instructions from, to and within memory that is not there, across its borders too. */
export function strings(a: Assembly, at: number): void {
  for (const [from, to] of [[at, STRING_RAM], [STRING_RAM, at], [at, at + 64]] as const) {
    for (const code of [[0xa4], [0x66, 0xa5], [0xa5]]) {
      a.mov(ESI, from).mov(EDI, to).mov(ECX, 700).bytes(0xf3, ...code)
    }
  }
  a.mov(EDI, at + PAGE - 100).mov(ECX, 100).bytes(0xf3, 0xab) // rep stosd
  a.mov(EDI, at).mov(EAX, 0).mov(ECX, 500).bytes(0xf2, 0xaf) // repne scasd
  a.mov(ESI, at).mov(EDI, STRING_RAM).mov(ECX, 500).bytes(0xf3, 0xa7) // repe cmpsd
  a.mov(ESI, at).mov(ECX, 500).bytes(0xf3, 0xad) // rep lodsd
}

/** Ports of all widths, alone and in strings. */
export function ports(a: Assembly): void {
  for (const code of [[0xec], [0x66, 0xed], [0xed], [0xee], [0x66, 0xef], [0xef]]) {
    a.call('random').copy(EDX, EAX).bytes(...code)
  }
  for (const code of [[0x6c], [0x66, 0x6d], [0x6d], [0x6e], [0x66, 0x6f], [0x6f]]) {
    a.mov(ESI, STRING_RAM).mov(EDI, STRING_RAM).mov(ECX, 300).mov(EDX, 0x3f8)
    a.bytes(0xf3, ...code)
    a.mov(ESI, 0xd000_0000).mov(EDI, 0xd000_0000).mov(ECX, 300).bytes(0xf3, ...code)
  }
}

/** Puts a handler into the interrupt table, and loads the table. */
export function interruptTable(a: Assembly, vector: number, handler: string): void {
  const at = INTERRUPT_TABLE + vector * 8
  a.mov(EAX, handler).copy(EDX, EAX).op('and', EAX, 0xffff).op('or', EAX, CODE_SELECTOR << 16)
  a.op('and', EDX, 0xffff_0000 | 0).op('or', EDX, 0x8e00).store(at, EAX).store(at + 4, EDX)
  const over = a.fresh('over')
  const pointer = a.fresh('table')
  a.jump(over).label(pointer).bytes(0xff, 0x07).word(INTERRUPT_TABLE).label(over)
  a.bytes(0x0f, 0x01, 0x1d).word(pointer) // lidt
}
