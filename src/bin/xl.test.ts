/**
 * xl as a process: the host it starts and shares, and what happens when that one is missing, dead
 * or somebody else's. No guest runs here.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sampleElf } from '../toolstack/build/sample-kernel.ts'

const program = fileURLToPath(new URL('xl.ts', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'xenolith-test-'))
const run = join(scratch, 'run')
const config = join(scratch, 'a.cfg')
const environment = { ...process.env, XENOLITH_RUN: run, XENOLITH_MEMORY: '256' }
writeFileSync(join(scratch, 'kernel'), sampleElf())
writeFileSync(config, `name="g"\ntype="pvh"\nkernel="${join(scratch, 'kernel')}"\nmemory=64\n`)

after(() => {
  endHost()
  rmSync(scratch, { recursive: true, force: true })
})

/** Waits until the host's log says `what` for the `count`th time. */
async function logged(what: string, count: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (readFileSync(join(run, 'host.log'), 'utf8').split(what).length > count) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`the host's log does not say: ${what}`)
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

function hasLocks(): boolean {
  return spawnSync('flock', ['--version']).error === undefined
}

function hostPid(): number | undefined {
  const log = join(run, 'host.log')
  const match = existsSync(log) ? /ready: .* pid (\d+)/.exec(readFileSync(log, 'utf8')) : null
  return match ? Number(match[1]) : undefined
}

function endHost(signal: NodeJS.Signals = 'SIGKILL'): void {
  const pid = hostPid()
  try {
    if (pid !== undefined) process.kill(pid, signal)
  } catch {
    // It has ended by itself.
  }
}

function xl(...words: string[]): { code: number | null, out: string, err: string } {
  const done = spawnSync(process.execPath, [program, ...words],
    { env: environment, encoding: 'utf8', timeout: 60_000 })
  return { code: done.status, out: done.stdout, err: done.stderr }
}

function start(...words: string[]): ChildProcess {
  return spawn(process.execPath, [program, ...words], { env: environment })
}

function ended(child: ChildProcess): Promise<{ code: number | null, err: string }> {
  let err = ''
  child.stderr?.on('data', (bytes: Buffer) => (err += bytes.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, err })))
}

test('the first xl starts a host process, and the others share it', () => {
  assert.equal(xl('list').code, 0)
  const pid = hostPid()
  assert.deepEqual(xl('create', '-p', config), {
    code: 0, out: '', err: `Parsing config from ${config}\n`,
  })
  assert.match(xl('list').out, /^g +1 +64 +\d+ +--p---/m)
  assert.equal(hostPid(), pid)
})

test('--jit= is for a host process that starts', () => {
  assert.deepEqual(xl('--jit=off', 'domid', 'g'), {
    code: 0, out: '1\n', err: 'xl: a host process runs already; --jit is for one that starts\n',
  })
  const done = spawnSync(process.execPath, [program, '--jit=never', 'list'],
    { env: { ...environment, XENOLITH_RUN: join(scratch, 'never') }, encoding: 'utf8' })
  assert.equal(done.status, 1)
  assert.match(done.stderr, /XENOLITH_JIT is never; it is "off", or a number from 1 to 65534/)
})

test('those that come at once share one host process', { skip: !hasLocks() }, async () => {
  const together = { ...environment, XENOLITH_RUN: join(scratch, 'together') }
  const create = (name: string): Promise<{ code: number | null, err: string }> =>
    ended(spawn(process.execPath, [program, 'create', '-q', '-p', config, `name="${name}"`],
      { env: together }))
  const first = [create('a'), create('b'), create('c')]
  const codes = (await Promise.all(first)).map(({ code, err }) => `${code} ${err}`)
  assert.deepEqual(codes, ['0 ', '0 ', '0 '])
  const done = spawnSync(process.execPath, [program, 'list'], { env: together, encoding: 'utf8' })
  const names = done.stdout.trim().split('\n').map((line) => line.split(' ')[0])
  assert.deepEqual(names.sort(), ['Domain-0', 'Name', 'a', 'b', 'c'])
  const log = readFileSync(join(scratch, 'together', 'host.log'), 'utf8')
  const ready = [...log.matchAll(/ready: .* pid (\d+)/g)]
  assert.equal(ready.length, 1)
  process.kill(Number(ready[0]?.[1]), 'SIGKILL')
})

test('its folder and socket are open to their user only', () => {
  assert.equal(statSync(run).mode & 0o777, 0o700)
  assert.equal(statSync(join(run, 'host.sock')).mode & 0o777, 0o600)
  assert.equal(statSync(join(run, 'xenstored.sock')).mode & 0o777, 0o600)
})

test('a second domain of the same name is refused', () => {
  const { code, err } = xl('create', '-q', '-p', config)
  assert.equal(code, 3)
  assert.equal(err, 'libxl: error: Domain with name "g" already exists.\n')
})

test('a domain larger than the machine is refused and leaves nothing', () => {
  const { code, err } = xl('create', '-q', config, 'name="big"', 'memory=4000')
  assert.equal(code, 3)
  assert.match(err, /4000 MB asked for, \d+ MB free/)
  assert.doesNotMatch(xl('list').out, /^big/m)
})

test('output that nobody reads to the end is no error', () => {
  const done = spawnSync('sh', ['-c', `"${process.execPath}" "${program}" help | head -n 1`],
    { env: environment, encoding: 'utf8' })
  assert.match(done.stdout, /^Usage xl/)
  assert.equal(done.stderr, '')
})

test('a console ends when its domain is destroyed by another xl', async () => {
  const child = start('console', 'g')
  const end = ended(child)
  await logged('console of domain 1 attached', 1)
  assert.equal(xl('destroy', 'g').code, 0)
  assert.deepEqual(await end, { code: 0, err: '' })
})

test('a console whose host process is killed says so and ends', async () => {
  const child = start('create', '-q', '-c', '-p', config)
  const end = ended(child)
  await logged('console of domain 2 attached', 1)
  // It is attached before there is memory.
  while (!/^g +2 +64 /m.test(xl('list').out)) await new Promise((resolve) => setImmediate(resolve))
  endHost()
  assert.deepEqual(await end, { code: 1, err: 'xl: host process ended\n' })
})

test('a socket left behind by a dead host is replaced', () => {
  assert.ok(existsSync(join(run, 'host.sock')))
  assert.equal(xl('list').code, 0)
})

test('a host that is asked to end takes its sockets with it', async () => {
  endHost('SIGTERM')
  for (let i = 0; i < 50 && existsSync(join(run, 'host.sock')); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.equal(existsSync(join(run, 'host.sock')), false)
  assert.equal(existsSync(join(run, 'xenstored.sock')), false)
})

test('configurations in the folder auto start with the host, and bad ones are logged', async () => {
  mkdirSync(join(run, 'auto'))
  const text = readFileSync(config, 'utf8').replace(join(scratch, 'kernel'), '../../kernel')
  writeFileSync(join(run, 'auto', '2-good.cfg'), text)
  writeFileSync(join(run, 'auto', '1-bad.cfg'), 'name="bad"\ntype="pvh"\nkernel="/nowhere"\n')
  writeFileSync(join(run, 'auto', '3-worse.cfg'), 'name=')
  writeFileSync(join(run, 'auto', 'notes.txt'), 'not a configuration')
  assert.equal(xl('list').code, 0)
  await logged('autostart: 3-worse.cfg: ', 1)
  const log = readFileSync(join(run, 'host.log'), 'utf8')
  assert.match(log, /autostart: 1-bad\.cfg: .*No such file or directory\n/)
  assert.match(log, /autostart: 2-good\.cfg: domain 2\n/)
  assert.doesNotMatch(log, /notes/)
  assert.match(xl('list').out, /^g +2 +64 /m)
  endHost('SIGTERM')
  rmSync(join(run, 'auto'), { recursive: true })
  for (let i = 0; i < 100 && existsSync(join(run, 'host.sock')); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
})

test('a folder that others can open is refused', () => {
  const open = join(scratch, 'open')
  mkdirSync(open)
  chmodSync(open, 0o755)
  const done = spawnSync(process.execPath, [program, 'list'],
    { env: { ...environment, XENOLITH_RUN: open }, encoding: 'utf8' })
  assert.equal(done.status, 1)
  assert.match(done.stderr, /^xl: .*\/open is open to other users/)
})

test('another user\'s socket is reported as out of reach', { skip: !isRoot() }, () => {
  chmodSync(scratch, 0o755)
  const done = spawnSync(process.execPath, [program, 'list'],
    { env: environment, encoding: 'utf8', uid: 65534, gid: 65534 })
  assert.equal(done.status, 1)
  assert.match(done.stderr, /^xl: cannot reach the host process at .*: Permission denied\n$/)
})

test('a socket that is not a host process\'s is reported as such', async () => {
  const other = join(scratch, 'other')
  mkdirSync(other, { mode: 0o700 })
  const server = createServer((socket) => socket.end('{"hello":"there"}\n'))
  await new Promise<void>((resolve) => server.listen(join(other, 'host.sock'), resolve))
  const child = spawn(process.execPath, [program, 'list'],
    { env: { ...environment, XENOLITH_RUN: other } })
  const { code, err } = await ended(child)
  server.close()
  assert.equal(code, 1)
  assert.equal(err, 'xl: the socket is not that of a host process\n')
})
