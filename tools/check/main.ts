/**
 * `npm run check`: the one quick door. Runs every check below in order and reports them all.
 */
import { spawnSync } from 'node:child_process'
import { checkLayers } from './layers.ts'
import { checkStyle } from './style.ts'

interface Step {
  readonly name: string
  readonly run: () => boolean
}

function command(file: string, ...args: string[]): boolean {
  return spawnSync(file, args, { stdio: 'inherit' }).status === 0
}

function report(problems: readonly string[]): boolean {
  for (const problem of problems) console.error(problem)
  return problems.length === 0
}

const steps: readonly Step[] = [
  { name: 'types', run: () => command('node_modules/.bin/tsc', '-p', '.') },
  { name: 'layers', run: () => report(checkLayers('src')) },
  { name: 'style', run: () => report(checkStyle()) },
  {
    name: 'tests',
    run: () => command(process.execPath, '--test', '--test-reporter=dot', 'src/**/*.test.ts'),
  },
]

let failed = 0
for (const step of steps) {
  const start = performance.now()
  const ok = step.run()
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${step.name} (${seconds} s)`)
  if (!ok) failed += 1
}
process.exitCode = failed === 0 ? 0 : 1
