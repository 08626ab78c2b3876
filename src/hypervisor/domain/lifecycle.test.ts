/**
 * Domains: pausing, ending, going.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { cellOf } from '../../base/layout/atomics.ts'
import { EBUSY, EINVAL } from '../../abi/xen/errno.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../abi/xen/domctl.ts'
import { SHUTDOWN_poweroff } from '../../abi/xen/sched.ts'
import { HvmHwCpu, HvmHwCpuXsave } from '../../abi/save/hvm.ts'
import { CpuContext } from '../../cpu/state.ts'
import { sampleMachine } from '../host/sample-machine.ts'
import { loadRecord, saveRecord } from './context.ts'
import { loadExtended, saveExtended } from './extended-context.ts'
import { createDomain, destroyDomain } from './lifecycle.ts'
import { VcpuState } from './state.ts'

test('a grant table is as large as was asked for, and no larger than the machine allows', () => {
  const { host } = sampleMachine()
  const make = (maxGrantFrames: number, maxMaptrackFrames: number): number =>
    createDomain(host, {
      domid: 0, flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, ssidref: 0,
      handle: new Uint8Array(16), maxVcpus: 1, maxEvtchnPort: 1023, maxGrantFrames,
      maxMaptrackFrames, maxGrantVersion: 1, emulationFlags: 1, miscFlags: 0,
    })
  for (const [frames, maptrack] of [[0, -1], [65, -1], [64, 1025], [1000, 2000]] as const) {
    assert.equal(make(frames, maptrack), -EINVAL)
  }
  const limits = (domid: number): readonly number[] => {
    const state = host.domain(domid)?.state
    return [state?.maxGrantFrames ?? 0, state?.maxMaptrackFrames ?? 0]
  }
  assert.deepEqual(limits(make(-1, -1)), [64, 1024])
  assert.deepEqual(limits(make(16, 0)), [16, 0])
})

test('pauses add up, and the toolstack\'s own counts once', () => {
  const { guest } = sampleMachine()
  const { domain } = guest()
  assert.equal(domain.state.pauseCount, 1)
  domain.setControllerPause(true)
  assert.equal(domain.state.pauseCount, 1)
  domain.pause()
  domain.setControllerPause(false)
  domain.setControllerPause(false)
  assert.equal(domain.state.pauseCount, 1)
  domain.unpause()
  assert.equal(domain.state.pauseCount, 0)
})

test('pause returns only when no vcpu runs', async () => {
  const { guest } = sampleMachine()
  const vcpu = guest()
  const cell = cellOf(vcpu.state, VcpuState.offsets.running)
  const cells = vcpu.state.cells
  Atomics.store(cells, cell, 1)
  const source = `
    const { workerData: { buffer, cell } } = require('node:worker_threads')
    const cells = new Int32Array(buffer)
    setTimeout(() => { Atomics.store(cells, cell, 0); Atomics.notify(cells, cell) }, 50)`
  const worker = new Worker(source, { eval: true, workerData: { buffer: cells.buffer, cell } })
  await new Promise((resolve) => worker.once('online', resolve))
  vcpu.domain.pause()
  assert.equal(vcpu.state.running, 0)
  await new Promise((resolve) => worker.once('exit', resolve))
})

test('a shut down domain keeps its first reason and runs again after resume', () => {
  const { guest } = sampleMachine()
  const { domain, state } = guest()
  domain.shutdown(SHUTDOWN_poweroff)
  domain.crash('later')
  assert.equal(domain.state.shutdownCode, SHUTDOWN_poweroff)
  assert.equal(state.pauseCount, 1)
  domain.resume()
  assert.equal(state.pauseCount, 0)
  assert.equal(domain.isShutDown, false)
})

test('a domain is destroyed once, and its number then names nothing', () => {
  const { guest, host } = sampleMachine()
  const { domain } = guest()
  assert.equal(destroyDomain(domain), 0)
  assert.equal(destroyDomain(domain), -EBUSY)
  assert.equal(host.domain(domain.id), undefined)
})

test('a domain in the block of a former one is another domain to every thread', () => {
  const { guest, host } = sampleMachine()
  const { domain } = guest()
  const { address, serial } = domain
  destroyDomain(domain)
  const next = guest().domain
  assert.equal(next.address, address)
  assert.notEqual(next.serial, serial)
  assert.equal(host.domain(next.id)?.serial, next.serial)
})

test('creating and destroying many domains leaks neither frames nor heap', () => {
  const { guest, host } = sampleMachine()
  destroyDomain(guest(8, 2).domain)
  const before = { free: host.frames.free, used: host.heap.used, xen: host.state.xenFrames }
  for (let i = 0; i < 50; i++) destroyDomain(guest(8, 2).domain)
  assert.deepEqual(
    { free: host.frames.free, used: host.heap.used, xen: host.state.xenFrames }, before)
})

test('a save record survives being loaded and saved', () => {
  const one = HvmHwCpu.on(new ArrayBuffer(HvmHwCpu.size))
  const bytes = new Uint8Array(one.bytes.buffer)
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 37 & 0xff
  one.rflags = 0x246n
  one.flags = 1
  one.tsc = 99n
  one.pad0 = 0
  one.pending_event = 0x8000_0b0e
  one.msr_flags = 0n
  for (const name of ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'tr', 'ldtr'] as const) {
    one[`${name}_sel`] &= 0xffff
    one[`${name}_arbytes`] &= 0xfff
  }
  const image = new DataView(bytes.buffer, 0, 512)
  normaliseFxsave(image)
  const cpu = CpuContext.on(new ArrayBuffer(CpuContext.size))
  loadRecord(cpu, one)
  const two = HvmHwCpu.on(new ArrayBuffer(HvmHwCpu.size))
  saveRecord(cpu, two, 99n)
  assert.deepEqual(new Uint8Array(two.bytes.buffer), bytes)
})

test('extended state survives being saved and loaded, and what is not supported is refused', () => {
  const one = CpuContext.on(new ArrayBuffer(CpuContext.size))
  one.xcr0 = 7n
  for (let i = 0; i < 64; i++) one.vector.set(i, BigInt(i * 0x101 + 1))
  const bytes = saveExtended(one, new Uint8Array(512))
  const view = new DataView(bytes.buffer)
  const two = CpuContext.on(new ArrayBuffer(CpuContext.size))
  assert.ok(loadExtended(two, view))
  assert.equal(two.xcr0, 7n)
  for (let i = 0; i < 64; i++) {
    assert.equal(two.vector.get(i), i & 2 ? one.vector.get(i) : 0n)
  }
  const { offsets } = HvmHwCpuXsave
  for (const [at, value] of [[offsets.xcr0, 6n], [offsets.xcr0, 0x27n],
    [offsets.save_area + 512, 9n], [offsets.save_area + 520, 1n << 63n]] as const) {
    const bad = new DataView(bytes.slice().buffer)
    bad.setBigUint64(at, value, true)
    assert.ok(!loadExtended(two, bad), `${at}`)
  }
  assert.ok(!loadExtended(two, new DataView(bytes.buffer, 0, bytes.length - 1)))
})

/** Zeroes what an FXSAVE image does not define. */
function normaliseFxsave(image: DataView): void {
  image.setUint8(5, 0)
  image.setUint16(26, 0)
  image.setUint32(28, 0xffff, true)
  for (let i = 0; i < 8; i++) {
    for (let j = 10; j < 16; j++) image.setUint8(32 + i * 16 + j, 0)
  }
  for (let i = 416; i < 512; i++) image.setUint8(i, 0)
}
