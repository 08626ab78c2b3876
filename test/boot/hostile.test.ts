/**
 * Guests that do what no guest should, each beside one that behaves: the host lives on, the other
 * guest goes on printing, and the bad one can be looked at, paused and destroyed.
 *
 * What becomes of the bad one is its own affair, unless a mistake of ours ended it: the
 * hypervisor's log would name a core.
 */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type { Conversation } from './console.ts'
import * as guests from '../guests/programs.ts'
import { TestHost } from './test-host.ts'

interface Hostile {
  readonly name: string
  readonly kernel: () => Uint8Array
  /** What it prints once it is at it. */
  readonly says: string | RegExp
  /** It may end by its own doing before anybody destroys it. */
  readonly mayEnd?: boolean
}

const hostiles: readonly Hostile[] = [
  { name: 'loops with interrupts off', kernel: guests.deafLoop, says: 'looping' },
  { name: 'fills its console', kernel: guests.flood, says: 'again and again' },
  { name: 'makes wild hypercalls', kernel: guests.wildHypercalls, says: 'round', mayEnd: true },
  { name: 'spoils its console ring', kernel: guests.wildConsole, says: 'writing' },
  { name: 'spoils its xenstore ring', kernel: guests.wildStore, says: 'writing' },
  { name: 'exhausts its event channels', kernel: guests.wildPorts, says: 'round 00000001' },
  { name: 'accesses what is not there', kernel: guests.wildAccesses, says: 'round 00000002' },
  { name: 'has random page tables', kernel: guests.wildPaging, says: 'round 00000002' },
  { name: 'faults all the time', kernel: guests.faultStorm, says: 'round 00000001' },
  { name: 'spoils its builder\'s pages', kernel: guests.ownPages, says: '', mayEnd: true },
]

describe('beside a guest that behaves', () => {
  const host = new TestHost({ memoryMb: 512 })
  let witness: Conversation

  before(async () => {
    const kernel = host.file('witness', guests.ticking())
    witness = host.start('create', '-c', host.config('witness', { kernel, memory: 8 }))
    await witness.expect('tick 00000000')
  })
  afterEach(() => host.xl('destroy', 'bad'))
  after(() => host.close())

  /** Starts a guest and attaches to its console. */
  function start(kernel: Uint8Array): Conversation {
    const settings = {
      kernel: host.file('kernel', kernel), memory: 64, on_poweroff: 'preserve',
      on_reboot: 'preserve', on_crash: 'preserve',
    }
    return host.start('create', '-q', '-c', host.config('bad', settings))
  }

  async function allIsWell(): Promise<void> {
    witness.skip()
    for (let i = 0; i < 2; i++) await witness.expect(/tick [0-9a-f]{8}\n/)
    assert.ok(host.isAlive)
    assert.doesNotMatch(host.log, /fatal/)
    assert.doesNotMatch((await host.xl('dmesg')).out, /core \d+:/)
  }

  for (const { name, kernel, says, mayEnd = false } of hostiles) {
    test(`one that ${name} harms nobody`, async () => {
      const bad = start(kernel())
      await bad.expect(says)
      await allIsWell()
      const state = (await host.listed('bad'))?.[4] ?? ''
      if (!mayEnd) {
        assert.match(state, /^[r-][b-]----$/)
        assert.equal((await host.xl('pause', 'bad')).code, 0)
        await host.settled('bad', /^-[b-]p---$/)
        assert.equal((await host.xl('unpause', 'bad')).code, 0)
      }
      assert.deepEqual(await host.xl('destroy', 'bad'), { code: 0, out: '', err: '' })
      assert.equal((await bad.ended()).code, 0)
      assert.deepEqual(await host.domains(), ['witness'])
      await allIsWell()
    })
  }

  test('one that faults thrice has rebooted', async () => {
    const bad = start(guests.tripleFault())
    await host.settled('bad', /^-{3}s--$/)
    assert.match((await host.xl('dmesg')).out, /d\d+v0 Triple fault/)
    await host.xl('destroy', 'bad')
    assert.equal((await bad.ended()).code, 0)
    assert.match(host.log, /has shut down, reason code 1/)
  })

  test('one that halts for ever has powered off', async () => {
    const bad = start(guests.deafHalt())
    await host.settled('bad', /^-{3}s--$/)
    await host.xl('destroy', 'bad')
    assert.equal((await bad.ended()).code, 0)
  })

  test('one that changes its own code executes what it wrote', async () => {
    const bad = start(guests.changesItself())
    await bad.expect('round 00000001')
    assert.doesNotMatch(bad.transcript, /failures (?!00000000)/)
    await host.xl('destroy', 'bad')
    await allIsWell()
  })

  test('a flood that nobody reads is forgotten but for its end', async () => {
    const kernel = host.file('kernel', guests.flood())
    await host.xl('create', '-q', host.config('bad', { kernel, memory: 64 }))
    await allIsWell()
    await allIsWell()
    await host.xl('pause', 'bad')
    const reader = host.start('console', 'bad')
    await reader.expect('again and again')
    await host.xl('destroy', 'bad')
    await reader.ended()
    assert.ok(reader.transcript.length <= 1024 * 1024 + 4096, `${reader.transcript.length} bytes`)
  })
})
