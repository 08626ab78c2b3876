/**
 * Commands as lines for a shell, typed at the shells of this machine.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { commandLines, marksOf } from './shell.ts'

const shells = [['sh'], ['dash'], ['bash', '--norc'], ['busybox', 'sh']]
  .filter(([name = '', ...words]) => spawnSync(name, [...words, '-c', 'true']).status === 0)

/** What each shell makes of a command. */
function expectRun(command: string, status: number, output: string): void {
  for (const [name = '', ...words] of shells) {
    const input = commandLines(command, 'token').map((line) => `${line}\n`).join('')
    const { stdout } = spawnSync(name, words, { input, encoding: 'utf8' })
    const { begin, end } = marksOf('token')
    assert.equal(stdout, `${begin}${output}${end}${status}>\n`, `${name}: ${command}`)
  }
}

test('a command runs as it is written, whatever characters it has', () => {
  assert.ok(shells.length > 0)
  expectRun('echo hello', 0, 'hello\n')
  expectRun('printf %s "no end of line"', 0, 'no end of line')
  expectRun('echo \'single\' "double" `echo back` $(echo dollar) $((1+1))', 0,
    'single double back dollar 2\n')
  expectRun('printf "%s\\n" "50%" "a\tb" \'\\0101\' "ü!"', 0, '50%\na\tb\n\\0101\nü!\n')
  expectRun('for i in 1 2\ndo\n  echo $i # twice\ndone', 0, '1\n2\n')
  expectRun('cat <<END\nfrom here\nEND', 0, 'from here\n')
  expectRun('', 0, '')
})

test('its exit status is told, however it ends, and the shell stays', () => {
  expectRun('false', 1, '')
  expectRun('exit 42', 42, '')
  expectRun('echo out; { echo error >&2; } 2>&1; nonsense-command 2>/dev/null', 127, 'out\nerror\n')
  expectRun('kill -9 $(sh -c \'echo $PPID\')', 137, '')
})

test('it reads nothing of what is typed after it', () => {
  expectRun('cat', 0, '')
})

test('lines are short and harmless to line editors, however long the command', () => {
  const long = `echo ${'x!\t'.repeat(2000)}`
  for (const line of commandLines(long, 'token')) {
    assert.ok(line.length < 250)
    assert.match(line, /^[ -~]*$/)
    assert.doesNotMatch(line, /!/)
    assert.doesNotMatch(line, /<token/, 'the echo of a line is no mark')
  }
  expectRun(`printf %s '${'long '.repeat(2000)}' | wc -c`, 0, '10000\n')
})
