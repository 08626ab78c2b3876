/**
 * Tiny guests on deterministic machines: what repeats, and that a difference is found where it
 * is.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Host } from 'xenolith'
import { EAX, EBX, ECX, EDI } from '../guests/assembler.ts'
import { guestKernel, printWord } from '../guests/kernel.ts'
import { word } from '../guests/parts.ts'
import { findDifference, type Way } from './difference.ts'
import { type Outcome, Run } from './run.ts'

const folder = mkdtempSync(join(tmpdir(), 'xenolith-deterministic-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

function wayOf(name: string, kernel: Uint8Array, text: string): Way {
  const path = join(folder, name)
  writeFileSync(path, kernel)
  return {
    seed: '1', heatLimit: 1, memoryMib: 64, text, settings: { name, kernel: path, memory: 16 },
  }
}

/** Computes for a while, prints the time stamp counter, and stays. */
function timing(): Uint8Array {
  return guestKernel((a) => {
    word(a, 'time', 0)
    a.mov(ECX, 2_000).label('round').op('add', EBX, ECX).dec(ECX).when('other', 'round')
    a.bytes(0x0f, 0x31).mov(EDI, 'time').storeAt(EDI, 0, EAX) // rdtsc
    printWord(a, 'time ', 'time')
    a.forever(() => a.bytes(0xf3, 0x90)) // pause
  })
}

const counting = wayOf('counting', timing(), 'time ')

async function outcomeOf(way: Way): Promise<Outcome> {
  await using run = await Run.start(way)
  await run.expect(way.text)
  return run.outcome
}

test('a guest comes to the same again', async () => {
  const first = await outcomeOf(counting)
  assert.deepEqual(await outcomeOf(counting), first)
  assert.ok(first.executed > 6_000 && first.executed < 20_000, `${first.executed}`)
})

test('what a program does when it hears something is done at the same time again', async () => {
  const run = async (): Promise<string> => {
    await using host = await Host.start({ memory: 64, seed: 'typed' })
    await using guest = await host.create({ ...counting.settings })
    await using console = await guest.console()
    const { text } = await console.expect(/time \w+\n/)
    await guest.pause()
    const [vcpu] = await guest.vcpus()
    return `${text} ${vcpu?.cpuTimeNs}`
  }
  const first = await run()
  assert.equal(await run(), first)
})

test('the instruction after which two ways differ is found', async () => {
  const flawed = (at: number): Way => ({
    ...counting,
    observe: (cpu) => {
      const runs = cpu.run.bind(cpu)
      cpu.run = (budget, exactly) => {
        const ahead = at - cpu.executed
        const kind = runs(ahead > 0 ? Math.min(budget, ahead) : budget, exactly)
        if (ahead > 0 && cpu.executed === at) cpu.context.gpr.set(5, 0x1234n)
        return kind
      }
    },
  })
  assert.equal(await findDifference(counting, counting, () => {}), undefined)
  const found = await findDifference(counting, flawed(1000), () => {})
  assert.match(found ?? '', /^They differ after 1000 instructions\./)
  assert.match(found ?? '', /and of the second:\n {2}gpr 5: 1234\n/)
})
