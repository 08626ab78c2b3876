/**
 * libxl's checks of virtual nodes, in the words of libxl 4.17.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VnodeConfig } from '../config/vnuma.ts'
import { sampleSpec } from './fake-control.ts'
import { type DomainSpec, LibxlError } from './libxl.ts'
import { checkVnuma } from './vnuma.ts'

const MIB_128 = 128 * 1024

function vnode(vcpus: number[], distances = [10, 10], pnode = 0): VnodeConfig {
  return { pnode, memoryKib: MIB_128, vcpus, distances }
}

function check(vnuma: readonly VnodeConfig[], more: Partial<DomainSpec> = {}): string {
  try {
    checkVnuma({
      ...sampleSpec, vnuma, memoryKib: 2 * MIB_128, maxMemoryKib: 2 * MIB_128, vcpus: 4,
      maxVcpus: 4, ...more,
    }, 2)
    return ''
  } catch (error) {
    assert.ok(error instanceof LibxlError)
    return `${error.rc} ${error.message}`
  }
}

test('nodes that share out all memory and vcpus are taken', () => {
  assert.equal(check([vnode([0, 1], [10, 20]), vnode([2, 3], [30, 10], 1)]), '')
  assert.equal(check([]), '')
})

test('others are refused', () => {
  assert.equal(check([vnode([0, 1]), vnode([1, 3])]), '-20 Vcpu 1 assigned more than once')
  assert.equal(check([vnode([0]), vnode([2, 3])]), '-20 Vcpu 1 is not assigned to any vnode')
  assert.equal(check([vnode([0, 1]), vnode([2, 3], [10, 10], 2)]), '-20 Invalid pnode 2 specified')
  assert.equal(check([vnode([0, 1]), vnode([2, 3], [10])]), '-20 1 distances for 2 vnodes')
  assert.equal(check([vnode([0, 1, 2, 3], [10])]),
    '-20 Amount of memory mismatch (0x20000 != 0x40000)')
  assert.equal(check([vnode([0, 1], [20, 10]), vnode([2, 3])]),
    '-20 Distance from 0 to 1 smaller than 0\'s local distance')
  assert.equal(check([vnode([0, 1]), vnode([2, 3])], { memoryKib: MIB_128 }),
    '-6 Cannot enable PoD and vNUMA at the same time')
})
