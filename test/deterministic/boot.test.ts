/**
 * Debian's cloud kernel on a deterministic machine: two runs execute the same instructions and say
 * the same, interpreted or compiled.
 *
 * Here as far as its shell, once each way; DETERMINISTIC=whole has it work there, several ways.
 */
import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { debian, PROMPT } from '../boot/debian.ts'
import { TestHost } from '../boot/test-host.ts'
import { type Outcome, Run } from './run.ts'

const { settings, missing } = await debian('cloud')
const isWhole = process.env['DETERMINISTIC'] === 'whole'

const WORK = `find / -xdev | sort | sha256sum
awk 'BEGIN { for (i = 0; i < 200000; i++) x += sin(i) * i; print x }'
dd if=/dev/urandom bs=1k count=100 2>/dev/null | gzip | md5sum
i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 2; date
cat /proc/uptime /proc/interrupts; echo "<<do"ne`

/** Interpreted only, compiled soon, and as it is usual. */
const [INTERPRETED, SOON, USUAL] = [0, 4000, 30_000]

async function outcomeOf(heatLimit: number, seed: string, work?: string): Promise<Outcome> {
  await using run = await Run.start({
    seed, heatLimit, memoryMib: 256,
    settings: { name: 'guest', kernel: '', ...settings, memory: 192 },
  })
  await run.expect(PROMPT)
  if (work !== undefined) {
    run.send(`${work}\n`)
    await run.expect('<<done')
  }
  return run.outcome
}

function report(t: TestContext, { executed, memory }: Outcome): void {
  t.diagnostic(`${executed} instructions, memory ${memory}`)
}

describe('a deterministic machine', { skip: missing }, () => {
  test('comes to the same, interpreted and compiled', async (t) => {
    const interpreted = await outcomeOf(INTERPRETED, '1')
    assert.deepEqual(await outcomeOf(SOON, '1'), interpreted)
    report(t, interpreted)
  })

  if (!isWhole) return

  test('says the same through xl', async () => {
    const said = async (jit: string): Promise<string> => {
      const host = new TestHost({
        memoryMb: 256, environment: { XENOLITH_DETERMINISTIC: 'xl', XENOLITH_JIT: jit },
      })
      try {
        const config = host.config('g', { ...settings, memory: 192 })
        return await host.start('create', '-c', '--foreground', config).expect(PROMPT)
      } finally {
        await host.close()
      }
    }
    assert.equal(await said('off'), await said('30000'))
  })

  test('comes to the same when its guest works', async (t) => {
    const interpreted = await outcomeOf(INTERPRETED, 'work', WORK)
    assert.deepEqual(await outcomeOf(SOON, 'work', WORK), interpreted)
    assert.deepEqual(await outcomeOf(USUAL, 'work', WORK), interpreted)
    assert.deepEqual(await outcomeOf(USUAL, 'work', WORK), interpreted)
    report(t, interpreted)
  })

  test('comes to something else with another seed', async () => {
    const [a, b] = [await outcomeOf(USUAL, '1'), await outcomeOf(USUAL, '2')]
    assert.notEqual(a.memory, b.memory)
  })
})
