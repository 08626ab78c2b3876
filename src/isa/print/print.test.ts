/**
 * Instructions as text, by example.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { makeDecoder } from '../decode/decoder.ts'
import { allInstructions } from '../instructions/all.ts'
import { printInstruction } from './print.ts'

const decode = makeDecoder(allInstructions)

function expectPrint(code: string, text: string, long = true, address?: bigint): void {
  const bytes = Uint8Array.from(Buffer.from(code.replaceAll(' ', ''), 'hex'))
  const found = decode(bytes, { long, defaultSize32: true })
  assert(typeof found !== 'string', `${code} is ${String(found)}`)
  assert.equal(printInstruction(found, address), text)
}

test('registers have the names of their widths', () => {
  expectPrint('48 01 d8', 'add rax,rbx')
  expectPrint('01 d8', 'add eax,ebx')
  expectPrint('66 01 d8', 'add ax,bx')
  expectPrint('00 e0', 'add al,ah')
  expectPrint('40 00 e0', 'add al,spl')
  expectPrint('4d 89 f8', 'mov r8,r15')
  expectPrint('45 89 f8', 'mov r8d,r15d')
})

test('memory shows its size, its segment when it is unusual, and its address', () => {
  expectPrint('48 03 43 08', 'add rax,QWORD PTR [rbx+0x8]')
  expectPrint('65 48 8b 04 25 28 00 00 00', 'mov rax,QWORD PTR gs:[0x28]')
  expectPrint('8b 44 8b fc', 'mov eax,DWORD PTR [rbx+rcx*4-0x4]')
  expectPrint('8b 05 10 00 00 00', 'mov eax,DWORD PTR [rip+0x10]')
  expectPrint('66 0f 6f 04 24', 'movdqa xmm0,XMMWORD PTR [rsp]')
  expectPrint('8f 44 24 10', 'pop QWORD PTR [rsp+0x10]')
})

test('immediates are shown at the width of the operation', () => {
  expectPrint('48 83 c0 ff', 'add rax,0xffffffffffffffff')
  expectPrint('83 e0 f0', 'and eax,0xfffffff0')
  expectPrint('c1 e0 9f', 'shl eax,0x9f')
})

test('branches show how far they go, or where to', () => {
  expectPrint('eb 10', 'jmp +0x10')
  expectPrint('eb fe', 'jmp -0x2')
  expectPrint('74 10', 'je 0x1012', true, 0x1000n)
})

test('prefixes and mnemonics that depend on size', () => {
  expectPrint('f0 48 0f c1 03', 'lock xadd QWORD PTR [rbx],rax')
  expectPrint('f3 48 a5', 'rep movsq QWORD PTR es:[rdi],QWORD PTR [rsi]')
  expectPrint('f2 ae', 'repne scasb al,BYTE PTR es:[rdi]')
  expectPrint('48 99', 'cqo')
  expectPrint('98', 'cwde')
})
