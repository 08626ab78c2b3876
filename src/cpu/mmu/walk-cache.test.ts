/**
 * The cache of last-level page tables: what it may remember, and what makes it forget (SDM 3A,
 * 4.10.4).
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Access } from './environment.ts'
import { TestMachine } from './test-machine.ts'

const P = 1n
const RW = 2n
const USER = 4n
const A = 0x20n
const NX = 1n << 63n
const PAGE = 0x40_0000_0000n
/** In the same page table, and never looked up before. */
const NEXT = PAGE + 0x1000n

/** A machine whose cache knows the page table of PAGE, and the directory's entry for it. */
function warm(): { machine: TestMachine, directory: number, frames: readonly number[] } {
  const machine = new TestMachine().longMode()
  const frames = [machine.frame() << 12, machine.frame() << 12]
  machine.map(PAGE, BigInt(frames[0]!) | P | RW | USER)
  machine.map(NEXT, BigInt(frames[1]!) | P | RW | USER)
  let table = Number(machine.context.cr3)
  for (const level of [39n, 30n]) {
    table = Number(machine.read64(table + Number(PAGE >> level & 511n) * 8) & ~0xfffn)
  }
  const directory = table + Number(PAGE >> 21n & 511n) * 8
  assert.equal(machine.mmu.translate(PAGE, 0), BigInt(machine.at(frames[0]!)))
  return { machine, directory, frames }
}

test('a walk goes by the table that is known, until INVLPG of any page or a flush', () => {
  const forgets: readonly ((machine: TestMachine) => void)[] = [
    ({ memory }) => memory.flushPage(0x1000n), ({ memory }) => memory.flushAll(),
    ({ memory }) => memory.flushSpace(0), ({ memory }) => memory.flushNonGlobal(),
    ({ memory }) => memory.switchSpace(0, false),
    ({ memory }) => memory.switchSpace(1, true), ({ memory }) => memory.switchOwner(1, 0),
  ]
  for (const forget of forgets) {
    const { machine, directory, frames } = warm()
    const table = machine.frame() << 12
    machine.write64(table + 8, BigInt(frames[0]!) | P | RW | USER)
    machine.write64(directory, BigInt(table) | P | RW | USER | A)
    assert.equal(machine.mmu.translate(NEXT, 0), BigInt(machine.at(frames[1]!)))
    machine.memory.flushPage(NEXT)
    assert.equal(machine.mmu.translate(PAGE + 0x1000n, 0), BigInt(machine.at(frames[0]!)))
    machine.write64(directory, P)
    forget(machine)
    assert.notEqual(machine.mmu.walk(NEXT, 0), BigInt(machine.at(frames[0]!)))
  }
})

test('rights above the table are known with it', () => {
  const { machine, directory } = warm()
  const entry = machine.read64(directory)
  machine.memory.flushAll()
  machine.write64(directory, entry & ~(RW | USER) | NX)
  assert.notEqual(machine.mmu.translate(PAGE, 0), -1n)
  machine.write64(directory, entry)
  for (const access of [Access.USER, Access.EXEC, Access.USER | Access.WRITE]) {
    machine.write64(directory, entry & ~(RW | USER) | NX)
    assert.equal(machine.mmu.walk(NEXT, access), -1n)
  }
})

test('a fault is never by what is remembered: walks that would fault start again', () => {
  const { machine, directory, frames } = warm()
  const entry = machine.read64(directory)
  machine.memory.flushAll()
  machine.write64(directory, entry & ~(RW | USER) | NX)
  assert.notEqual(machine.mmu.translate(PAGE, 0), -1n)
  machine.write64(directory, entry)
  for (const access of [Access.USER, Access.EXEC, Access.USER | Access.WRITE]) {
    assert.equal(machine.mmu.walk(NEXT, access), BigInt(machine.at(frames[1]!)))
  }
})

test('accessed and dirty bits are set all the same', () => {
  const { machine, directory } = warm()
  assert.equal(machine.read64(directory) & A, A)
  const table = Number(machine.read64(directory) & ~0xfffn)
  assert.equal(machine.read64(table + 8) & 0x60n, 0n)
  machine.mmu.translate(NEXT, 0)
  assert.equal(machine.read64(table + 8) & 0x60n, A)
  machine.mmu.translate(NEXT, Access.WRITE)
  assert.equal(machine.read64(table + 8) & 0x60n, 0x60n)
})
