/**
 * Privileged behaviour: bare programs on QEMU's TCG and on our processor leave the same records.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { canAssemble, type Mode } from './assemble.ts'
import { compare, recordsInBothWays } from './compare.ts'
import { programs } from './programs.ts'
import { hasQemu } from './qemu.ts'

const beginnings: Readonly<Record<Mode, string>> = {
  long: 'in long mode', protected: 'in legacy protected mode', real: 'in real mode',
}

for (const mode of Object.keys(programs) as Mode[]) {
  test(`${beginnings[mode]} services and the common cases beside them do the same`, (t) => {
    if (!canAssemble()) {
      t.skip('no as and ld')
      return
    }
    const [common, services] = recordsInBothWays(mode)
    assert.deepEqual(common, services)
  })

  test(`${beginnings[mode]} the processor does what QEMU and the manuals say`, (t) => {
    if (!hasQemu() || !canAssemble()) {
      t.skip('no qemu-system-x86_64, or no as and ld')
      return
    }
    const { outcomes } = compare(mode, programs[mode])
    const bad = outcomes.filter(({ problems }) => problems.length > 0)
    const report = bad.map(({ experiment, problems }) =>
      [experiment.name, ...problems].join('\n    '))
    assert.deepEqual(report.slice(0, 20), [])
    t.diagnostic(`${outcomes.length} experiments`)
  })
}
