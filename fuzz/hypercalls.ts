/**
 * Fuzz target: whatever a guest's vcpu passes to whatever hypercall, nothing throws, nothing hangs,
 * no lock stays taken, and destroying the domain gives every frame back.
 *
 * `node fuzz/hypercalls.ts [runs] [seed]`; short by default. Arguments point into guest memory that
 * is filled with words that look like arguments.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ManualClock } from '../src/base/clock.ts'
import { heldLocks } from '../src/base/shared/lock.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../src/abi/xen/domctl.ts'
import { createControlDomain, createDomain, createVcpus, destroyDomain } from
  '../src/hypervisor/domain/lifecycle.ts'
import { HypercallArgs } from '../src/hypervisor/hypercall/args.ts'
import { assemble } from '../src/hypervisor/host/assemble.ts'
import { Host } from '../src/hypervisor/host/host.ts'
import { populate } from '../src/hypervisor/memory/reservation.ts'

const MACHINE_BYTES = 16 * 1024 * 1024
const PAGES = 16
/** Turns that a call may want to be taken up again before it is left. */
const TURNS = 20

const word = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 3n, 4n, 7n, 8n, 16n, 0x15n, 0x7ff0n, 0x100n, 0x1000n, 0x2000n,
    0xfff8n, 0xffff_ffffn, 0x1_0000_0000n, 0xffff_ffff_ffff_ffffn, 1n << 63n,
    0xffff_8880_0000_1000n),
  fc.bigInt({ min: 0n, max: 0x1_0000n }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
)
/** The head of a domctl or sysctl: command, version, domain; then anything. */
const control = fc.tuple(fc.bigInt({ min: 1n, max: 90n }), fc.constantFrom(0n, 1n, 2n, 0x7ff0n),
  fc.array(word, { maxLength: 16 }))
  .map(([cmd, domain, rest]) => [0x15_0000_0000n | cmd, domain, ...rest])
const call = fc.record({
  number: fc.oneof(
    fc.constantFrom(12, 13, 15, 17, 18, 20, 21, 24, 29, 32, 33, 34, 35, 36), fc.nat(70)),
  compat: fc.boolean(),
  args: fc.array(word, { minLength: 6, maxLength: 6 }),
  struct: fc.oneof(fc.array(word, { maxLength: 20 }), control),
})

type Call = typeof call extends fc.Arbitrary<infer T> ? T : never

export function tryCalls(calls: readonly Call[], privileged: boolean): void {
  const memory = {
    machine: new SharedArrayBuffer(MACHINE_BYTES),
    hypervisor: new SharedArrayBuffer(Host.memorySize(MACHINE_BYTES)),
  }
  const clock = new ManualClock()
  Host.lay(memory, { cores: 1, tscKhz: 1_000_000 }, clock)
  const { host, dispatcher } = assemble(memory, clock)
  createControlDomain(host, 4)
  const free = host.frames.free
  const domid = createDomain(host, {
    domid: 0, flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, ssidref: 0,
    handle: new Uint8Array(16), maxVcpus: 2, maxEvtchnPort: 1023, maxGrantFrames: 4,
    maxMaptrackFrames: 4, maxGrantVersion: 2, emulationFlags: 1, miscFlags: 0,
  })
  const domain = host.domain(domid)
  assert(domain && createVcpus(domain) === 0)
  domain.state.maxPages = PAGES * 4
  for (let i = 0; i < PAGES; i++) assert.equal(populate(domain, i, 0), 0)
  domain.state.privileged = privileged ? 1 : 0
  const vcpu = domain.vcpu(0)
  assert(vcpu)
  vcpu.setTranslate((linear, write) => domain.p2m.translate(linear, write))
  const args = new HypercallArgs()
  for (const { number, compat, args: values, struct } of calls) {
    const bytes = new DataView(new ArrayBuffer(struct.length * 8))
    struct.forEach((value, i) => bytes.setBigUint64(i * 8, value, true))
    for (const at of values.slice(0, 3)) {
      vcpu.memory.copyOut(bytes, Number(at & 0xffffn), bytes.byteLength)
    }
    values.forEach((value, i) => args.setU64(i, value))
    vcpu.compat = compat
    for (let turn = 0; turn < TURNS; turn++) {
      const status = dispatcher.call(vcpu, number, args)
      assert(Number.isInteger(status), `hypercall ${number} answered ${status}`)
      assert.equal(heldLocks(), 0)
      if (!args.restart) break
    }
    if (host.domain(domid) !== domain) break
  }
  for (let other = host.nextDomain(1); other; other = host.nextDomain(1)) destroyDomain(other)
  // A privileged caller may have changed Dom0's memory, too.
  if (!privileged) assert.equal(host.frames.free, free)
}

export function fuzzHypercalls(runs: number, seed?: number): void {
  fc.assert(fc.property(fc.array(call, { maxLength: 40 }), fc.boolean(), tryCalls),
    { numRuns: runs, ...seed === undefined ? {} : { seed } })
}

if (import.meta.main) {
  const [runs, seed] = process.argv.slice(2).map(Number)
  fuzzHypercalls(runs ?? 300, seed)
}
