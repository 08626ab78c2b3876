/**
 * The comparison by hand: `node test/privileged/run.ts [mode] [names] [all]`, where `names` is a
 * regular expression over the experiments' names; `all` prints what agrees, too.
 */
import { compare } from './compare.ts'
import type { Mode } from './assemble.ts'
import { programs } from './programs.ts'

const [mode = '.', names = '.', all] = process.argv.slice(2)
for (const key of Object.keys(programs) as Mode[]) {
  if (!new RegExp(mode).test(key)) continue
  const experiments = programs[key].filter(({ name }) => new RegExp(names).test(name))
  if (experiments.length === 0) continue
  const { outcomes, milliseconds } = compare(key, experiments)
  let bad = 0
  for (const outcome of outcomes) {
    if (outcome.problems.length > 0) bad += 1
    if (outcome.problems.length === 0 && !all) continue
    console.log(`${outcome.experiment.name}: ${outcome.problems.slice(0, 5).join('; ')}`)
    if (!all) continue
    console.log(`  ours\n    ${outcome.ours}\n  QEMU\n    ${outcome.theirs}`)
  }
  console.log(`${key}: ${outcomes.length} experiments, ${bad} differ,`,
    Object.entries(milliseconds).map(([name, ms]) => `${name} ${ms} ms`).join(', '))
}
