/**
 * `npm run check`: the one quick door. Runs every check below and reports them all; two at a time,
 * without the network, in less than two minutes.
 *
 * `npm run check -- NAME...` runs only the steps of these names.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from '../../src/node/cache.ts'
import { checkDocs } from './docs.ts'
import { checkExports } from './exports.ts'
import { checkLayers } from './layers.ts'
import { lowerLimits } from './limits.ts'
import { checkStyle } from './style.ts'

/** What a step has to say: nothing when all is well. */
type Problems = readonly string[]

interface Step {
  readonly name: string
  readonly run: () => Problems | Promise<Problems>
}

/** Runs a program; what it printed is the problem when it fails. */
function command(
  file: string, args: readonly string[], environment: NodeJS.ProcessEnv = process.env,
): Promise<Problems> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment })
    const parts: string[] = []
    child.stdout.on('data', (part: Buffer) => parts.push(part.toString()))
    child.stderr.on('data', (part: Buffer) => parts.push(part.toString()))
    child.on('error', (error) => resolve([error.message]))
    child.on('close', (code) => resolve(code === 0 ? [] : [parts.join('')]))
  })
}

/** The committed list, and where gcc and Xen's headers are at hand, the headers themselves. */
async function checkAbi(): Promise<Problems> {
  const golden = await command(process.execPath, ['tools/abi.ts', '--golden'])
  const folder = [
    process.env['XEN_INCLUDE'], '/usr/include', join(cacheFolder(), 'libxen-dev/usr/include'),
  ].find((path) => path && existsSync(join(path, 'xen/xen.h')))
  const gcc = (await command('gcc', ['--version'])).length === 0
  if (golden.length > 0 || !gcc || !folder) return golden
  return command(process.execPath, ['tools/abi.ts'], { ...process.env, XEN_INCLUDE: folder })
}

/** The generated pages of docs/reference are what their generators would write. */
async function checkPages(): Promise<Problems> {
  const instructions = await command(process.execPath, ['tools/opcodes.ts', '--check'])
  const { pageIsFresh } = await import('../abi-hypercalls.ts')
  return pageIsFresh() ? instructions
    : [...instructions, 'docs/reference/hypercalls.md is stale: run tools/abi-hypercalls.ts']
}

/** Tests that need neither a guest nor the network, nor take long. */
const QUICK_TESTS = [
  'src/**/*.test.ts', 'test/hypervisor/**/*.test.ts', 'test/xenstore/**/*.test.ts',
  'test/api/**/*.test.ts', 'test/jit/{golden,lockstep,counting,changing-code}.test.ts',
  'fuzz/**/*.test.ts', 'bench/**/*.test.ts',
]

/** The other steps take seconds. */
const FILES_AT_ONCE = Math.max(2, availableParallelism() - 1)

/** Each lane does its steps in order; the lanes run side by side. */
const lanes: readonly (readonly Step[])[] = [
  [
    { name: 'types', run: () => command('node_modules/.bin/tsc', ['-p', '.']) },
    { name: 'layers', run: () => checkLayers('src') },
    { name: 'style', run: () => checkStyle() },
    { name: 'exports', run: () => checkExports() },
    { name: 'docs', run: () => checkDocs() },
    { name: 'abi', run: () => checkAbi() },
    { name: 'pages', run: () => checkPages() },
  ],
  [
    {
      name: 'tests',
      run: () => command(process.execPath,
        ['--test', `--test-concurrency=${FILES_AT_ONCE}`, '--test-reporter=dot', ...QUICK_TESTS]),
    },
  ],
]

async function runStep(step: Step): Promise<boolean> {
  const start = performance.now()
  const problems = await step.run()
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  for (const problem of problems) console.error(problem)
  console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${step.name} (${seconds} s)`)
  return problems.length === 0
}

async function runLane(steps: readonly Step[]): Promise<number> {
  let failed = 0
  for (const step of steps) if (!await runStep(step)) failed += 1
  return failed
}

const wanted = process.argv.slice(2)
const known = lanes.flat().map((step) => step.name)
const unknown = wanted.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`no check is called ${unknown.join(', ')}; there are ${known.join(', ')}`)
  process.exitCode = 2
} else {
  const chosen = lanes.map((lane) =>
    lane.filter((step) => wanted.length === 0 || wanted.includes(step.name)))
  const failed = await Promise.all(chosen.map(runLane))
  lowerLimits()
  process.exitCode = failed.some((count) => count > 0) ? 1 : 0
}
