/**
 * Where libxl puts domains on a hypervisor with NUMA nodes, without processors.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleElf } from '../../src/toolstack/build/sample-kernel.ts'
import { FakeHost, sampleSpec } from '../../src/toolstack/domain/fake-control.ts'
import { type DomainSpec, LibxlError } from '../../src/toolstack/domain/libxl.ts'
import { LocalLibxl } from '../../src/toolstack/domain/local-libxl.ts'
import { Xenstored } from '../../src/xenstore/xenstored.ts'
import { newMachine } from './machine.ts'

const MIB = 1024

function world() {
  const { control } = newMachine(256, 4, 'numa=fake=2')
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const libxl = new LocalLibxl(control, new Xenstored(), host)
  const free = (): number[] =>
    control.xenctrl.numaNodes().map(({ freeBytes }) => Math.round(freeBytes / 2 ** 20))
  const create = (name: string, mib: number, vcpus: number, more: Partial<DomainSpec> = {}) =>
    libxl.create({
      ...sampleSpec, uuid: undefined, name, memoryKib: mib * MIB, maxMemoryKib: mib * MIB, vcpus,
      maxVcpus: vcpus, ...more,
    }, { paused: true })
  const soft = async (domid: number) => (await libxl.vcpus(domid)).map((vcpu) => vcpu.soft)
  return { libxl, free, create, soft }
}

test('domains that fit on one node are spread over them', async () => {
  const { create, free, libxl, soft } = world()
  const before = free()
  for (const [name, cpus] of [['a', [2, 3]], ['b', [0, 1]], ['c', [2, 3]]] as const) {
    const domid = await create(name, 20, 1)
    assert.deepEqual(await soft(domid), [cpus], name)
  }
  const now = free()
  assert.ok(Math.abs(before[1]! - now[1]! - 40) <= 2 && Math.abs(before[0]! - now[0]! - 20) <= 2)
  assert.deepEqual((await libxl.list()).slice(1).map(({ nodes }) => nodes), [[1], [0], [1]])
})

test('a domain larger than a node is on both, one with more VCPUs than CPUs anywhere', async () => {
  const { create, libxl, soft } = world()
  const large = await create('large', 160, 1)
  assert.deepEqual(await soft(large), [undefined])
  const wide = await create('wide', 20, 5)
  assert.deepEqual(await soft(wide), new Array(5).fill(undefined))
  assert.deepEqual((await libxl.list()).slice(1).map(({ nodes }) => nodes), [undefined, undefined])
})

test('memory and VCPUs of virtual nodes are where the configuration says', async () => {
  const { create, free, soft } = world()
  const before = free()
  const vnuma = [
    { pnode: 1, memoryKib: 48 * MIB, vcpus: [0, 2], distances: [10, 20] },
    { pnode: 0, memoryKib: 16 * MIB, vcpus: [1], distances: [20, 10] },
  ]
  const domid = await create('v', 64, 3, { vnuma })
  const now = free()
  assert.ok(Math.abs(before[1]! - now[1]! - 48) <= 1 && Math.abs(before[0]! - now[0]! - 16) <= 2)
  assert.deepEqual(await soft(domid), [[2, 3], [0, 1], [2, 3]])
  const other = await create('w', 64, 3, { vnuma, softAffinity: ['0', '0', '3'] })
  assert.deepEqual(await soft(other), [[0], [0], [3]])
})

test('a virtual node for which its host node has too little memory is refused', async () => {
  const { create, free, libxl } = world()
  const before = free()
  const vnuma = [{ pnode: 1, memoryKib: 160 * MIB, vcpus: [0], distances: [10] }]
  await assert.rejects(create('v', 160, 1, { vnuma }), (error) =>
    error instanceof LibxlError && /ENOMEM/.test(error.message))
  assert.deepEqual(free(), before)
  assert.equal((await libxl.list()).length, 1)
})
