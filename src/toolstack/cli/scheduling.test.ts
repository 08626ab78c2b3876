/**
 * vcpu-pin and sched-credit2, in the words that real xl 4.17 had for the same command lines.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expectXl, xl } from './fake-world.ts'

test('vcpu-pin sets what it is given, and leaves the rest', async () => {
  const { run, control } = xl()
  await run('create -p a.cfg vcpus=2')
  const map = (vcpu: number) => control.affinities.get(`1.${vcpu}`)
  await expectXl(run, 'vcpu-pin pvh 1 1 0', 0)
  assert.deepEqual(map(1), { hard: Uint8Array.of(2), soft: Uint8Array.of(1) })
  await expectXl(run, 'vcpu-pin pvh all 0-1', 0)
  assert.deepEqual(map(0), { hard: Uint8Array.of(3) })
  assert.deepEqual(map(1), { hard: Uint8Array.of(3), soft: Uint8Array.of(1) })
  await expectXl(run, 'vcpu-pin pvh 0 - 1', 0)
  assert.deepEqual(map(0), { hard: Uint8Array.of(3), soft: Uint8Array.of(2) })
  await expectXl(run, 'vcpu-pin pvh 0 0-1,^0 all', 0)
  assert.deepEqual(map(0), { hard: Uint8Array.of(2), soft: Uint8Array.of(0xff) })
  await expectXl(run, '-N vcpu-pin pvh 0 1,3-4', 0, '>cpumap: 1,3-4')
})

test('vcpu-pin says what is wrong as real xl does', async () => {
  const { run } = xl()
  await run('create -p a.cfg')
  const could = (vcpu: number) => `!Could not set affinity for vcpu \`${vcpu}'.`
  const invalid = '!libxl: error: Domain 1:Setting vcpu affinity: Invalid argument'
  await expectXl(run, 'vcpu-pin pvh 0 -', 1, could(0))
  await expectXl(run, 'vcpu-pin pvh 0 5', 1, invalid, could(0))
  await expectXl(run, 'vcpu-pin 0 0 5', 1,
    '!libxl: error: Setting vcpu affinity: Invalid argument', could(0))
  await expectXl(run, 'vcpu-pin pvh 0 3-1', 1, '!Invalid pcpu range: 3-1.')
  await expectXl(run, 'vcpu-pin pvh 0 foo', 1, '!Invalid pcpu range: foo.')
  await expectXl(run, 'vcpu-pin pvh foo 0', 1, '!Error: Invalid argument foo as VCPU.')
  await expectXl(run, 'vcpu-pin pvh 0 ^1', 1, '!vcpu hard affinity map is empty')
  await expectXl(run, 'vcpu-pin pvh 0 0,^0', 1, '!vcpu hard affinity map is empty')
  await expectXl(run, 'vcpu-pin nosuch 0 0', 1, '!nosuch is an invalid domain identifier (rc=-6)')
  assert.equal((await run('vcpu-pin pvh 0')).code, 2)
})

test('sched-credit2 shows and sets weights and caps', async () => {
  const { run } = xl()
  await run('create -p a.cfg')
  const header = '>Name                                ID Weight  Cap'
  const dom0 = '>Domain-0                             0    256    0'
  await expectXl(run, 'sched-credit2', 0, '>Cpupool Pool-0: ratelimit=1000us', header, dom0,
    '>pvh                                  1    256    0')
  await expectXl(run, 'sched-credit2 -d pvh -w 512', 0)
  await expectXl(run, 'sched-credit2 -d pvh -c 50', 0)
  await expectXl(run, 'sched-credit2 -d pvh', 0, header,
    '>pvh                                  1    512   50')
  assert.deepEqual(await run('sched-credit2 -p 0'), await run('sched-credit2 -p Pool-0'))
  await expectXl(run, 'sched-rtds -b 1', 1, '!Missing parameters.')
  await expectXl(run, 'sched-credit2 -p nosuch', 1, '!unknown cpupool \'nosuch\'')
  await expectXl(run, 'sched-credit2 -w 5', 1, '!Must specify a domain.')
  await expectXl(run, 'sched-credit2 -d nosuch', 1,
    '!nosuch is an invalid domain identifier (rc=-6)')
  const range = '!libxl: error: Domain 1:Cpu weight out of range, valid values are within range ' +
    'from 1 to 65535'
  for (const weight of [0, 70000]) {
    await expectXl(run, `sched-credit2 -d pvh -w ${weight}`, 1, range,
      '!libxl_domain_sched_params_set failed.')
  }
})
