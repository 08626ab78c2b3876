/**
 * vnuma= and what real xl 4.17 said to it (its own words, recorded from runs).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DomainConfig, loadDomainConfig } from './domain.ts'
import { ConfigError } from './parser.ts'
import { vnumaRefusal } from './vnuma.ts'

const BASE = 'name="a"\ntype="pvh"\nkernel="/boot/vmlinuz"\nmemory=256\n'
const TWO = '[["pnode=0","size=128","vcpus=0-1"],["pnode=1","size=128","vcpus=2-3"]]'

function config(vnuma: string, more = ''): DomainConfig {
  const { config, messages } = loadDomainConfig('a.cfg', `${BASE}vnuma=${vnuma}\n${more}`)
  assert.deepEqual(messages, [])
  return config
}

function refused(vnuma: string, more = ''): readonly string[] {
  try {
    config(vnuma, more)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

test('each list is a virtual node', () => {
  const { vnuma, maxMemoryKib, maxVcpus, vcpus } = config('[["pnode=0","size=96","vcpus=0,3",' +
    '"vdistances=10,30"],["pnode = 1 "," size= 160","vcpus=1-2","vdistances=40,10,99"]]')
  assert.deepEqual(vnuma, [
    { pnode: 0, memoryKib: 96 * 1024, vcpus: [0, 3], distances: [10, 30] },
    { pnode: 1, memoryKib: 160 * 1024, vcpus: [1, 2], distances: [40, 10] },
  ])
  assert.deepEqual([maxMemoryKib, maxVcpus, vcpus], [256 * 1024, 4, 4])
})

test('what is left out has a default, and what is unknown no effect', () => {
  assert.deepEqual(config('[["vcpus=0","size=256"],["vcpus=1","other=1","vdistances=50"]]').vnuma, [
    { pnode: 0, memoryKib: 256 * 1024, vcpus: [0], distances: [10, 20] },
    { pnode: 0, memoryKib: 0, vcpus: [1], distances: [50, 10] },
  ])
  assert.deepEqual(config('[]').vnuma, [])
  assert.deepEqual(config('"x"').vnuma, [])
})

test('memory and vcpus are those of the nodes, and must not be others', () => {
  assert.equal(config(TWO, 'vcpus=2').vcpus, 2)
  assert.equal(config('[["size=100","vcpus=0"]]').memoryKib, 100 * 1024)
  assert.equal(config('[["size=400","vcpus=0"]]').memoryKib, 256 * 1024)
  assert.deepEqual(refused(TWO, 'maxmem=200'), ['xl: maxmem and vnuma memory size mismatch'])
  assert.deepEqual(refused(TWO, 'maxvcpus=8'), ['xl: vnuma vcpus and maxvcpus= mismatch'])
  assert.deepEqual(refused(TWO, 'vcpus=5'), ['xl: maxvcpus < vcpus'])
})

test('what is no number, pair or list is named', () => {
  assert.deepEqual(refused('[["pnode=x"]]'), ['xl: failed to convert "x" to number'])
  assert.deepEqual(refused('[["pnode=-1"]]'), ['xl: failed to convert "-1" to number'])
  assert.deepEqual(refused('[["size=abc"]]'), ['xl: failed to convert "abc" to number'])
  assert.deepEqual(refused('[["vdistances=x"]]'), ['xl: failed to convert "x" to number'])
  assert.deepEqual(refused('[["pnode"]]'), ['xl: failed to split "pnode" into pair'])
  assert.deepEqual(refused('[["pnode="]]'), ['xl: failed to split "pnode=" into pair'])
  assert.deepEqual(refused('[["vcpus=0", 5]]'), ['xl: failed to split "5" into pair'])
  assert.deepEqual(refused('[["vcpus=a-b"]]'), ['xl: invalid range of vcpus: a-b'])
  assert.deepEqual(refused('["pnode=0"]'), [
    'a.cfg:5:0: warning: value is not a list', 'xl: cannot get vnode config option list',
  ])
})

test('more nodes or vcpus than a domain can have are refused', () => {
  assert.deepEqual(refused(`[${'["vcpus=0"],'.repeat(17)}]`),
    ['xl: 17 vnodes; a domain has at most 16'])
  assert.deepEqual(refused('[["vcpus=0-127,0"]]'), ['xl: a vnode has more than 128 vcpus'])
  assert.deepEqual(refused('[["vcpus=0-99"],["vcpus=100-199"]]'),
    ['xl: 200 vcpus; a domain has at most 128'])
})

test('a host must have the nodes, and the CPUs unless maxvcpus= is given', () => {
  const { vnuma } = config(TWO)
  const refusal = (nodes: number, cpus: number, maxvcpus = false): string | undefined =>
    vnumaRefusal(vnuma, { maxvcpus }, { nodes, cpus })
  assert.equal(refusal(2, 4), undefined)
  assert.equal(refusal(1, 4), 'xl: invalid pnode number: 1')
  assert.equal(refusal(2, 3),
    'xl: vnuma specifies more vcpus than pcpus, use maxvcpus= to override this check.')
  assert.equal(refusal(2, 3, true), undefined)
})
