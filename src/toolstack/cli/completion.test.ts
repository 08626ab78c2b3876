/**
 * Completion, tried in the shells themselves where this machine has them.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { xl } from './fake-world.ts'

const folder = mkdtempSync(join(tmpdir(), 'xenolith-completion-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0

/** What bash offers for the last of these words; `xl list` is a function that lists two domains. */
function completed(script: string, run: string, ...words: string[]): string[] {
  const program = `source "$1"; shift
    xl() { printf 'Name ID\\nDomain-0 0\\nguest 1\\n'; }
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _xl xl
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', program, 'bash', script, ...words],
    { encoding: 'utf8', cwd: folder, env: { ...process.env, XENOLITH_RUN: run } })
  assert.equal(stderr, '')
  return stdout.trim().split('\n')
}

test('bash completes commands, options, words, domains and files', { skip: !has('bash') },
  async () => {
    const script = join(folder, 'completion.bash')
    const { out, code } = await xl().run('completion bash')
    assert.equal(code, 0)
    writeFileSync(script, out)
    writeFileSync(join(folder, 'guest.cfg'), '')
    const at = (...words: string[]): string[] => completed(script, '/nowhere', 'xl', ...words)
    assert.deepEqual(at('cre'), ['create'])
    assert.deepEqual(at('-v', 'unp'), ['unpause'])
    assert.deepEqual(at('help', 'sysr'), ['sysrq'])
    assert.deepEqual(at('create', '--def'), ['--defconfig'])
    assert.deepEqual(at('create', 'guest.'), ['guest.cfg'])
    assert.deepEqual(at('trigger', 'guest', 'n'), ['nmi'])
    assert.deepEqual(at('nonsense', ''), [''])
    assert.deepEqual(at('console', ''), [''], 'nobody is asked where no host process is')

    const server = createServer()
    await new Promise<void>((resolve) => server.listen(join(folder, 'host.sock'), resolve))
    assert.deepEqual(completed(script, folder, 'xl', 'console', ''), ['Domain-0', 'guest'])
    assert.deepEqual(completed(script, folder, 'xl', 'pause', 'g'), ['guest'])
    server.close()
  })

test('zsh accepts its script', { skip: !has('zsh') }, async () => {
  const script = join(folder, '_xl')
  writeFileSync(script, (await xl().run('completion zsh')).out)
  const program = 'autoload -Uz compinit && compinit -D; source "$1"; print -- $_comps[xl]'
  const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', program, 'zsh', script],
    { encoding: 'utf8' })
  assert.deepEqual([stdout, stderr], ['_xl\n', ''])
})

test('every command is offered, in both shells', async () => {
  const { run } = xl()
  const { out: help } = await run('help')
  const names = [...(help.split('\nNot implemented')[0] ?? '').matchAll(/^ ([a-z0-9-]+) /gm)]
    .map(([, name]) => name ?? '')
  assert.ok(names.length > 25)
  for (const shell of ['bash', 'zsh']) {
    const { out } = await run(`completion ${shell}`)
    for (const name of names) assert.match(out, new RegExp(`^    ${name}\\) `, 'm'))
  }
  assert.equal((await run('completion fish')).code, 2)
})
