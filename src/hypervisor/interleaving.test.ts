/**
 * What two threads do to domains, grants, event channels, pools and frames at once: at each access
 * of one to what is shared, all that the other has to do comes between.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as G from '../abi/xen/grant_table.ts'
import { XEN_SCHEDULER_CREDIT } from '../abi/xen/domctl.ts'
import { __HYPERVISOR_grant_table_op } from '../abi/xen/xen.ts'
import { atEachAccess } from '../base/shared/interleaving.ts'
import { codeUse, storeUse } from '../cpu/mmu/frame-uses.ts'
import type { Domain } from './domain/domain.ts'
import { destroyDomain } from './domain/lifecycle.ts'
import { allocUnbound, bindInterdomain } from './events/bind.ts'
import { Events } from './events/events.ts'
import { PORT } from './events/state.ts'
import { TestMachine } from './events/test-machine.ts'
import { Grants } from './grants/grants.ts'
import { addCore, createPool, moveDomain, removeCore } from './sched/cpupools.ts'
import { Scheduler } from './sched/scheduler.ts'

const [HOLE, REF, FRAME] = [100, 9, 5]

/** Dom0 and a guest that grants it a frame. */
class Granted {
  readonly m = new TestMachine()
  readonly free = this.m.host.frames.free
  readonly guest = this.m.guest()
  readonly frame = this.m.at(this.guest, FRAME * 4096) / 4096
  handle = -1

  constructor() {
    const entry = Grants.of(this.m.host).tableFrame(this.guest, 0, false) * 4096 + REF * 8
    const { bytes } = this.m.host.machine
    bytes.setUint16(entry, G.GTF_permit_access, true)
    bytes.setUint32(entry + 4, FRAME, true)
  }

  readonly map = (): void => {
    const { words } = this.m.op(this.m.vcpu(this.m.dom0), __HYPERVISOR_grant_table_op,
      G.GNTTABOP_map_grant_ref, [HOLE * 4096, 0, G.GNTMAP_host_map, REF, this.guest.id, 0, 0, 0])
    this.handle = words[4]! >> 16 === G.GNTST_okay ? words[5]! : -1
  }

  readonly unmap = (): void => {
    if (this.handle < 0) return
    const { words } = this.m.op(this.m.vcpu(this.m.dom0), __HYPERVISOR_grant_table_op,
      G.GNTTABOP_unmap_grant_ref, [HOLE * 4096, 0, 0, 0, this.handle, 0])
    assert.equal(words[5]! << 16 >> 16, G.GNTST_okay)
    this.handle = -1
  }

  readonly destroy = (): void => {
    assert.equal(destroyDomain(this.guest), 0)
  }

  /** A mapped frame is nobody else's, and all are free once it is not mapped. */
  readonly check = (): void => {
    const { frames } = this.m.host
    if (this.handle >= 0) assert.equal(frames.references(this.frame), 1)
    this.unmap()
    assert.equal(this.m.dom0.p2m.get(HOLE), 0)
    assert.equal(frames.free, this.free)
  }
}

test('a domain is destroyed while another maps what it granted', () => {
  const count = atEachAccess(() => {
    const { map, destroy, check } = new Granted()
    return { work: map, other: destroy, check }
  })
  assert.ok(count > 2, `${count} accesses`)
})

test('a domain is destroyed while another unmaps what it granted', () => {
  atEachAccess(() => {
    const { map, unmap, destroy, check } = new Granted()
    map()
    return { work: unmap, other: destroy, check }
  })
})

test('what a domain granted is mapped, and another mapping ends, while it is destroyed', () => {
  for (const before of [false, true]) {
    const count = atEachAccess(() => {
      const granted = new Granted()
      if (before) granted.map()
      return {
        work: granted.destroy, other: before ? granted.unmap : granted.map, check: granted.check,
      }
    })
    assert.ok(count > 2, `${count} accesses`)
  }
})

/** Two guests, of whom the second reserved a port for the first. */
class Channel {
  readonly m = new TestMachine()
  readonly events = Events.of(this.m.host)
  readonly near = this.m.guest()
  readonly far = this.m.guest()
  readonly reserved = allocUnbound(this.events, this.far, this.near.id)
  port = -1

  readonly bind = (): void => {
    this.port = bindInterdomain(this.events, this.near, this.far, this.reserved)
  }

  readonly send = (): void => {
    this.events.send(this.near, this.port)
  }

  readonly close = (): void => {
    this.events.close(this.far, this.reserved)
  }

  readonly leave = (): void => {
    this.events.close(this.near, this.port)
  }

  readonly end = (): void => {
    assert.equal(destroyDomain(this.far), 0)
  }

  stateOf(domain: Domain, port: number): number {
    const { local, ports } = this.events
    return ports.find(domain, port, local) ? local.state : PORT.free
  }

  /** An end is joined to one that is joined to it, or to none. */
  readonly check = (): void => {
    const far = this.far.isDying ? PORT.free : this.stateOf(this.far, this.reserved)
    const near = this.port > 0 ? this.stateOf(this.near, this.port) : PORT.free
    assert.equal(near === PORT.interdomain, far === PORT.interdomain)
    // What was closed leaves an end that can be joined anew, until that is closed too.
    if (near === PORT.free) assert.ok(far === PORT.free || far === PORT.unbound)
    else if (far !== PORT.interdomain) assert.equal(near, PORT.unbound)
    // A port that is free may be given out, and has no old event.
    if (far === PORT.free && !this.far.isDying) {
      assert.equal(this.events.isPending(this.far, this.reserved), false)
    }
  }
}

test('a port is closed, or its domain destroyed, while another binds to it', () => {
  for (const kind of ['close', 'end'] as const) {
    atEachAccess(() => {
      const channel = new Channel()
      return { work: channel.bind, other: channel[kind], check: channel.check }
    })
    atEachAccess(() => {
      const channel = new Channel()
      return { work: channel[kind], other: channel.bind, check: channel.check }
    })
  }
})

test('both ends of a connection are closed at once', () => {
  for (const [one, two] of [['close', 'leave'], ['leave', 'close'], ['leave', 'end'],
    ['end', 'leave']] as const) {
    atEachAccess(() => {
      const channel = new Channel()
      channel.bind()
      return { work: channel[one], other: channel[two], check: () => {
        channel.check()
        assert.equal(channel.stateOf(channel.near, channel.port), PORT.free)
      } }
    })
  }
})

test('of two that bind to one port, one does', () => {
  atEachAccess(() => {
    const channel = new Channel()
    let again = 0
    return {
      work: channel.bind,
      other: () => {
        again = bindInterdomain(channel.events, channel.near, channel.far, channel.reserved)
      },
      check: () => {
        assert.equal([again, channel.port].filter((port) => port > 0).length, 1)
        channel.port = Math.max(channel.port, again)
        channel.check()
      },
    }
  })
})

test('a port is closed while it becomes the end of another connection', () => {
  atEachAccess(() => {
    const channel = new Channel()
    const { events, m, near } = channel
    const third = m.guest()
    channel.bind()
    let end = 0
    return {
      work: channel.leave,
      other: () => {
        channel.leave()
        assert.equal(allocUnbound(events, near, third.id), channel.port)
        end = bindInterdomain(events, third, near, channel.port)
      },
      check: () => {
        assert.equal(channel.stateOf(channel.far, channel.reserved), PORT.unbound)
        assert.equal(channel.stateOf(near, channel.port), PORT.free)
        assert.equal(channel.stateOf(third, end), PORT.unbound)
      },
    }
  })
})

test('a port is closed, or its domain destroyed, while another sends to it', () => {
  for (const kind of ['close', 'end'] as const) {
    for (const sends of [true, false]) {
      atEachAccess(() => {
        const channel = new Channel()
        channel.bind()
        const [work, other] = sends ? [channel.send, channel[kind]] : [channel[kind], channel.send]
        return { work, other, check: channel.check }
      })
    }
  }
})

/** A guest of two vcpus on two of three cores, and a second pool with the third. */
class Pools {
  readonly m = new TestMachine(3)
  readonly scheduler = Scheduler.of(this.m.host)
  readonly guest = this.m.guest(2)

  constructor() {
    assert.equal(createPool(this.scheduler, 1, XEN_SCHEDULER_CREDIT), 1)
    assert.equal(removeCore(this.scheduler, 0, 2), 0)
    assert.equal(addCore(this.scheduler, 1, 2), 0)
  }

  readonly move = (): void => {
    assert.equal(moveDomain(this.scheduler, this.guest, 1), 0)
  }

  readonly pin = (): void => {
    const vcpu = this.m.vcpu(this.guest)
    vcpu.state.hardAffinity.set(0, 0b010)
    this.scheduler.affinityChanged(vcpu)
  }

  readonly takeCore = (): void => {
    removeCore(this.scheduler, 0, 1)
  }

  readonly exchange = (): void => {
    const { clock } = this.m
    for (const core of [0, 1, 2]) {
      const vcpu = this.scheduler.pick(core, clock.nowNs)
      clock.nowNs += 1e6
      if (vcpu) this.scheduler.stopped(vcpu, core, clock.nowNs)
    }
  }

  /** Who may run waits in a queue of its pool, once, and a core of that looks after it. */
  readonly check = (): void => {
    const { queues } = this.scheduler
    const vcpu = this.m.vcpu(this.guest)
    const pool = queues.poolOf(vcpu)
    const waiting = queues.queues.flatMap(({ head }, slot) => head === 0 ? [] : [{ head, slot }])
    assert.equal(waiting.length, 1)
    const [{ head, slot }] = waiting as [{ head: number, slot: number }]
    assert.equal(head, vcpu.address)
    assert.equal(queues.nextOf(head), 0)
    assert.equal(vcpu.state.sched.queued, slot + 1)
    assert.notEqual(queues.queues[slot]!.cores & pool.cores, 0)
    assert.notEqual(pool.cores >>> vcpu.state.core & 1, 0)
    const picked = [0, 1, 2].map((core) => this.scheduler.pick(core, this.m.clock.nowNs))
    assert.deepEqual(picked.filter((one) => one !== undefined).map(({ id }) => id), [vcpu.id])
  }
}

test('a domain moves, its vcpu is pinned, picked, or loses its core, two of them at once', () => {
  // Who moves a domain waits for those of its vcpus that run: nothing comes between there.
  const stories = [
    ['move', 'pin'], ['move', 'exchange'], ['move', 'takeCore'], ['pin', 'move'],
    ['pin', 'exchange'], ['takeCore', 'move'], ['takeCore', 'exchange'], ['exchange', 'pin'],
    ['exchange', 'takeCore'],
  ] as const
  for (const [work, other] of stories) {
    const count = atEachAccess(() => {
      const pools = new Pools()
      return { work: pools[work], other: pools[other], check: pools.check }
    })
    assert.ok(count > 0, `${work}: ${count} accesses`)
  }
})

/** Core 0 decodes code from a frame to which core 1 stores, each by its bit in the frame's word. */
class Frame {
  readonly m = new TestMachine(2)
  readonly uses = this.m.host.frameUses
  readonly frame = this.m.at(this.m.guest(), 0) / 4096
  readonly #word = (this.m.host.state.frameUses >>> 2) + this.frame
  stored = false
  /** What core 0 decoded was what is stored now; undefined when it has no code. */
  knows: boolean | undefined
  mayStore = false

  #or(bits: number): number {
    return Atomics.or(this.m.host.machine.cells, this.#word, bits)
  }

  readonly decode = (): void => {
    // The bit comes before the bytes are read.
    const others = this.#or(codeUse(0)) & storeUse(1)
    this.knows = this.stored
    if (others !== 0) this.uses.ask(this.frame, 0)
  }

  readonly store = (): void => {
    if (!this.mayStore && (this.#or(storeUse(1)) & codeUse(0)) !== 0) {
      this.uses.written(this.frame, 1)
    }
    this.mayStore = true
    this.stored = true
  }

  /** Once both have read the notes, no old code is left. */
  readonly check = (): void => {
    const forgetsCode = (): void => void (this.knows = undefined)
    const one = { forgetCode: forgetsCode, flushCode: forgetsCode, forgetStores: () => {} }
    const other = {
      forgetCode: () => {}, flushCode: () => {},
      forgetStores: () => {
        if (this.mayStore) this.uses.written(this.frame, 1)
        this.mayStore = false
      },
    }
    this.uses.read(0, 1, other)
    this.uses.read(0, 0, one)
    assert.notEqual(this.knows, false)
  }
}

test('one core decodes code while another stores to it', () => {
  for (const decodes of [true, false]) {
    for (const stores of [true, false]) {
      atEachAccess(() => {
        const frame = new Frame()
        // It may store without asking, from before.
        if (stores) frame.store()
        frame.stored = false
        const [work, other] = decodes ? [frame.decode, frame.store] : [frame.store, frame.decode]
        return { work, other, check: frame.check }
      })
    }
  }
})
