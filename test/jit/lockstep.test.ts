/**
 * Random programs on the interpreter and on compiled code.
 *
 * JIT_PROGRAMS is their number: some here, many thousands in the long run; JIT_SEED the first one.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Code, R14, R15, RAX, RBX, RCX, RDX, RSI, RSP } from './encoder.ts'
import { Lockstep } from './lockstep.ts'
import { ALIAS_AT, CODE_AT, DATA_AT, type Start, SWAP, TestMachine } from './machine.ts'
import { startOf, twoRegions } from './start.ts'

const count = Number(process.env['JIT_PROGRAMS'] ?? 80)
const seed = Number(process.env['JIT_SEED'] ?? 1)

test('compiled code does what the interpreter does', (t) => {
  const lockstep = new Lockstep()
  const failure = lockstep.run(seed, count)
  assert.equal(failure && `JIT_SEED=${failure.seed} JIT_PROGRAMS=1: ${failure.report}`, undefined)
  t.diagnostic(`${count} programs, ${lockstep.instructions} instructions in slices, `
    + `${lockstep.widened} wide regions`)
})

test('code that always is compiled at once may write to itself', () => {
  const machine = new TestMachine(1)
  machine.load(startOf((code) => {
    code.address(RCX, 'value')
    code.op([0xc7], 0, { base: RCX, displacement: 0 }) // mov dword [rcx], 7
    code.le(7, 4)
    code.raw(0xb8)
    code.label('value')
    code.le(1, 4)
    code.raw(0xcc)
  }))
  assert.equal(machine.run(100), 'halt')
  assert.equal(machine.cpu.context.gpr.get(RAX), 7n)
})

test('known code that begins with a store to itself is left', () => {
  const machine = new TestMachine(1)
  machine.load(startOf((code) => {
    code.address(RBX, 'value')
    code.constant(RCX, 50)
    code.label('again')
    code.op([0x88], RCX, { base: RBX, displacement: 0 }, { width: 8 }) // mov [rbx], cl
    code.raw(0xb8)
    code.label('value')
    code.le(0, 4)
    code.op([0x01], RAX, RDX)
    code.op([0xff], 1, RCX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
  }))
  assert.equal(machine.run(1000), 'halt')
  assert.equal(machine.cpu.context.gpr.get(RDX), 50n * 51n / 2n)
})

test('an access by the look-up of a narrower one stays in its page', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(1)]
  const program = startOf((code) => {
    code.constant(RBX, DATA_AT + 0xff1)
    code.op([0xc6], 0, { base: RBX, displacement: 0 }) // mov byte [rbx], 1
    code.raw(1)
    // Over the end of the page, and like the byte in how it is not aligned.
    code.op([0xc7], 0, { base: RBX, displacement: 12 }) // mov dword [rbx + 12], ...
    code.le(0x0403_0201, 4)
    code.op([0x0f, 0xc1], RAX, { base: RBX, displacement: 12 }, { lock: true })
    code.raw(0xcc)
  })
  for (const machine of [interpreter, compiled]) {
    // The pages are in the TLB before.
    machine.load(program)
    machine.run(100)
    machine.cpu.context.rip = BigInt(CODE_AT)
    machine.cpu.context.gpr.set(RAX, 0n)
    machine.run(100)
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
})

test('an operand across pages is read and written, locked or not, where loops begin too', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(1)]
  const program = startOf((code) => {
    code.constant(RBX, DATA_AT + 0xffd)
    code.constant(RDX, 20)
    code.label('again')
    code.op([0x01], RDX, { base: RBX, displacement: 0 }) // add [rbx], edx
    code.op([0x01], RDX, { base: RBX, displacement: 0 }, { lock: true })
    code.op([0x0f, 0xc1], RAX, { base: RBX, displacement: 1 }, { lock: true })
    code.op([0xff], 1, RDX)
    code.to('again', 1, 0x75)
    code.raw(0xcc)
  })
  for (const machine of [interpreter, compiled]) {
    machine.load(program)
    assert.equal(machine.run(1000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
})

test('nobody relies on the page of a masked store, which may not have been accessed', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(1)]
  const program = startOf((code) => {
    code.constant(8, 20)
    code.op([0x89], R14, RBX, { width: 64 })
    code.op([0x8d], 10, { base: R14, displacement: 0xe90 }, { width: 64 })
    code.label('again')
    code.raw(0x31, 0xd2) // xor edx, edx
    code.label('next')
    code.raw(0x89, 0xd0) // mov eax, edx
    code.raw(0x83, 0xc2, 0x10) // add edx, 16
    code.raw(0xc5, 0xfe, 0x6f, 0x34, 0x83) // vmovdqu ymm6, [rbx + rax * 4]
    code.raw(0x48, 0x8d, 0x0c, 0x85, 0, 0, 0, 0) // lea rcx, [rax * 4]
    code.raw(0xc5, 0xfe, 0x6f, 0x7c, 0x0b, 0x20) // vmovdqu ymm7, [rbx + rcx + 32]
    code.raw(0x49, 0x8d, 0x3c, 0x0a) // lea rdi, [r10 + rcx]
    code.raw(0x49, 0x8d, 0x4c, 0x0a, 0x20) // lea rcx, [r10 + rcx + 32]
    code.raw(0xc5, 0xfe, 0x6f, 0x27) // vmovdqu ymm4, [rdi]
    code.raw(0xc5, 0xfe, 0x6f, 0x29) // vmovdqu ymm5, [rcx]
    code.raw(0xc5, 0xdd, 0x66, 0xc6) // vpcmpgtd ymm0, ymm4, ymm6
    code.raw(0xc5, 0xd5, 0x66, 0xcf) // vpcmpgtd ymm1, ymm5, ymm7
    code.raw(0xc4, 0xe2, 0x7d, 0x8e, 0x37) // vpmaskmovd [rdi], ymm0, ymm6
    code.raw(0xc4, 0xe2, 0x75, 0x8e, 0x39) // vpmaskmovd [rcx], ymm1, ymm7
    code.raw(0x81, 0xfa, 0, 2, 0, 0) // cmp edx, 512
    code.to('next', 1, 0x72)
    code.op([0x83], 0, RBX, { width: 64 }) // add rbx, 4
    code.raw(4)
    code.op([0xff], 1, 8)
    code.to('again', 1, 0x75)
    code.raw(0xcc)
  })
  const data = Uint8Array.from({ length: 0x2000 }, (_, i) => Math.imul(i, 0x9e37_79b1) >>> 24)
  for (const machine of [interpreter, compiled]) {
    machine.load({ ...program, data })
    assert.equal(machine.run(100_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
})

test('a branch that becomes an entry of a known region meanwhile enters it the next time', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(4)]
  const program = startOf((code) => {
    code.constant(R15, 3)
    code.constant(RBX, ALIAS_AT)
    code.label('start')
    code.constant(RDX, 10)
    code.label('again')
    code.op([0x01], RDX, RAX)
    code.op([0xff], 1, RDX)
    code.raw(0xdb, 0xe3) // fninit, which is no part of regions
    code.to('again', 4, 0x0f, 0x85)
    // The same byte again: the region is forgotten, and known.
    code.op([0x8a], RDX, { base: RBX, displacement: 0 }, { width: 8 }) // mov dl, [rbx]
    code.op([0x88], RDX, { base: RBX, displacement: 0 }, { width: 8 })
    code.op([0xff], 1, R15)
    code.to('start', 4, 0x0f, 0x85)
    code.raw(0xcc)
  })
  for (const machine of [interpreter, compiled]) {
    machine.load(program)
    assert.equal(machine.run(10_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  assert.ok(compiled.cpu.jitCounts.known > 0)
})

/** Adds RAX to RBX and swaps the pages each eighth time, as long as RCX counts down to 0. */
function sumAndSwap(code: Code): void {
  code.op([0x01], RAX, RBX)
  code.op([0xf6], 0, RCX, { width: 8 }) // test cl, 7
  code.raw(7)
  code.to('on', 1, 0x75)
  code.raw(0xcd, SWAP)
  code.label('on')
  code.op([0xff], 1, RCX)
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
}

test('code on another page is looked for where the page is now', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  const spare = new Code(CODE_AT)
  const program = startOf((code) => {
    code.constant(RCX, 40)
    code.label('again')
    code.to('function', 4, 0xe8)
    sumAndSwap(code)
    while (code.here < CODE_AT + 4096) code.raw(0xcc)
    code.label('function')
    code.constant(RAX, 1)
    code.raw(0xc3)
  })
  spare.constant(RAX, 1000)
  spare.raw(0xc3)
  for (const machine of [interpreter, compiled]) {
    machine.load({ ...program, spare: spare.finish() })
    assert.equal(machine.run(10_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  assert.ok(interpreter.cpu.context.gpr.get(RBX) > 1000n, 'both pages were executed')
})

test('an instruction that crosses into another page is of the page that is there now', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  const program = startOf((code) => {
    code.constant(RCX, 40)
    code.label('again')
    code.to('crossing', 4, 0xe9)
    code.label('back')
    sumAndSwap(code)
    while (code.here < CODE_AT + 4096 - 3) code.raw(0xcc)
    code.label('crossing')
    code.raw(0xb8) // mov eax, 1
    code.le(1, 4)
    code.to('back', 4, 0xe9)
  })
  for (const machine of [interpreter, compiled]) {
    // The rest of MOV is another there, and the jump is the same.
    const spare = program.code.slice(4096)
    spare.set([1, 1])
    machine.load({ ...program, spare })
    assert.equal(machine.run(10_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  assert.ok(interpreter.cpu.context.gpr.get(RBX) > 0x1_0000n, 'both pages were executed')
})

test('flags that wait around a loop are not of what its first instructions compute', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  const program = startOf((code) => {
    code.constant(RAX, 0xfe)
    code.constant(R15, 60)
    code.label('again')
    code.raw(0x08, 0xe8) // or al, ch
    code.to('out', 4, 0x0f, 0x84)
    code.raw(0x49, 0x87, 0xcf) // xchg r15, rcx
    code.to('on', 1, 0xe2) // loop
    code.to('out', 1, 0xeb)
    code.label('on')
    code.raw(0x49, 0x87, 0xcf)
    code.to('again', 1, 0xeb)
    code.label('out')
    code.raw(0xcc)
  })
  for (let until = 3; until < 30; until++) {
    for (const machine of [interpreter, compiled]) {
      machine.load(program)
      // Comes back to the midst of the loop, which then is where its region begins.
      machine.run(until, true)
      machine.interrupt()
      assert.equal(machine.run(1000), 'halt')
    }
    assert.deepEqual(interpreter.differences(compiled, true), [], `${until} instructions`)
  }
})

test('regions that lead to one another all the time become one', () => {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  for (const machine of [interpreter, compiled]) {
    machine.load(twoRegions)
    assert.equal(machine.run(100_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  assert.ok(compiled.cpu.jitCounts.widened > 0)
})

/** Two functions that are regions of their own and call one another, `depth` calls deep. */
function mutual(depth: number, inner: (code: Code) => void): Start {
  return startOf((code) => {
    code.constant(RDX, 40)
    code.label('again')
    code.constant(RCX, depth)
    code.to('even', 4, 0xe8)
    code.label('behind')
    code.op([0xff], 1, RDX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
    for (const [name, other] of [['even', 'odd'], ['odd', 'even']] as const) {
      code.label(name)
      for (let i = 0; i < 45; i++) code.op([0x01], RCX, RBX)
      code.op([0xff], 1, RCX)
      code.to(`${name}.call`, 1, 0x75)
      inner(code)
      code.raw(0xc3)
      code.label(`${name}.call`)
      code.to(other, 4, 0xe8)
      code.op([0x01], RCX, RAX)
      code.op([0x11], RBX, RAX)
      code.raw(0xc3)
    }
  })
}

function sameAsInterpreted(program: Start): void {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  for (const machine of [interpreter, compiled]) {
    machine.load(program)
    assert.equal(machine.run(1_000_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  assert.ok(compiled.cpu.jitCounts.compiled > 1)
}

test('regions call one another, also deeply', () => {
  for (const depth of [2, 7, 60]) sameAsInterpreted(mutual(depth, () => {}))
})

test('a function may return elsewhere than to its caller', () => {
  sameAsInterpreted(mutual(9, (code) => {
    code.op([0x8d], RSP, { base: RSP, displacement: 64 }, { width: 64 })
    for (let i = 0; i < 45; i++) code.op([0x01], RDX, RBX)
  }))
})

test('a function may write to the code of its caller', () => {
  sameAsInterpreted(mutual(6, (code) => {
    code.address(RSI, 'even')
    code.op([0x8a], RAX, { base: RSI, displacement: 0 }, { width: 8 })
    code.op([0x88], RAX, { base: RSI, displacement: 0 }, { width: 8 })
  }))
})

test('compiled code stops after as many instructions as it is told', () => {
  const compiled = new TestMachine(1)
  const program = startOf((code) => {
    code.constant(RCX, 30)
    code.label('again')
    for (let i = 0; i < 70; i++) code.op([0x01], RCX, RBX)
    code.op([0xff], 1, RCX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
  })
  compiled.load(program)
  for (let total = 0; total < 2000; total += 97) {
    const before = compiled.cpu.executed
    assert.equal(compiled.run(97, true), 'budget')
    assert.equal(compiled.cpu.executed - before, 97)
  }
  assert.ok(compiled.cpu.jitCounts.compiled > 0)
})

test('a run that ends with a jump to what cannot be fetched does not count the exception', () => {
  const machine = new TestMachine(0)
  const program = startOf((code) => {
    code.constant(RAX, 0x7000_0000)
    code.raw(0xff, 0xe0) // jmp rax
  })
  machine.load(program)
  for (let count = 1; count <= 3; count++) {
    const before = machine.cpu.executed
    assert.equal(machine.run(1, true), 'budget')
    assert.equal(machine.cpu.executed - before, 1)
    assert.equal(machine.cpu.context.rip === 0x7000_0000n, count === 2)
  }
})

test('of a system call from a region the service does what is unusual', () => {
  const program = { ...startOf((code) => {
    code.raw(0x9c, 0x81, 0x0c, 0x24) // pushfq; or dword [rsp], AC
    code.le(1 << 18, 4)
    code.raw(0x9d) // popfq
    code.constant(RBX, 50)
    code.label('again')
    code.op([0x01], RBX, RDX)
    code.raw(0x0f, 0x05)
    code.op([0x01], RCX, RAX, { width: 64 })
    code.op([0xff], 1, RBX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
  }), cpl: 3 as const }
  const machines = [new TestMachine(0), new TestMachine(1)]
  for (const machine of machines) {
    machine.load(program)
    assert.equal(machine.run(10_000), 'halt')
    assert.equal(machine.cpu.context.gpr.get(RDX), 50n * 51n / 2n)
  }
  assert.deepEqual(machines[0]!.differences(machines[1]!, true), [])
  assert.ok(machines[1]!.cpu.jitCounts.compiled > 0)
})
