/**
 * TAP devices, in a network namespace of the test's own; there is nothing to test where making one
 * is not permitted.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { openTap } from './tap.ts'

/** Runs a module in a new network namespace; what it prints. */
function inNamespace(program: string): { readonly status: number | null, readonly out: string } {
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath,
    '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program], {
    cwd: import.meta.dirname, encoding: 'utf8', timeout: 20_000,
  })
  return { status, out: stdout + stderr }
}

/** A bridge with a TAP device in it, and a station at its wire that asks who has 10.0.0.1. */
const program = `
import { execFileSync } from 'node:child_process'
import { openTap } from '${new URL('tap.ts', import.meta.url)}'
const ip = (words) => execFileSync('ip', words.split(' '), { encoding: 'utf8' })
ip('link add br0 type bridge')
ip('addr add 10.0.0.1/24 dev br0')
ip('link set br0 up')
const tap = openTap('vif1.0', (frame) => {
  const text = Buffer.from(frame).subarray(10).toString('hex')
  // An answer to us.
  if (!text.startsWith('020000000001') || !text.includes('08060001080006040002')) return
  console.log('answered', text.slice(56, 64))
  tap.close()
  try {
    ip('link show vif1.0')
  } catch {
    console.log('gone')
  }
  process.exit(0)
})
try {
  openTap('vif1.0', () => {})
} catch (error) {
  console.log(error.message)
}
ip('link set vif1.0 master br0 up')
const ask = Buffer.from('ffffffffffff020000000001' + '08060001080006040001' +
  '0200000000010a000002' + '0000000000000a000001', 'hex')
setInterval(() => tap.send(Buffer.concat([Buffer.alloc(10), ask])), 50)
`

const isPermitted = spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'br0', 'type', 'bridge'])
  .status === 0 && inNamespace(
  `import { openTap } from '${new URL('tap.ts', import.meta.url)}'; openTap('a', () => {}).close()`,
).status === 0

if (isPermitted) {
  test('the kernel answers on a device\'s wire; the device is one\'s own, and goes with it', () => {
    const { status, out } = inNamespace(program)
    assert.equal(status, 0, out)
    assert.deepEqual(out.replace(/^ip: .*|^Device .*/gm, '').trim().split('\n'),
      ['the system does not let us have a TAP device "vif1.0"', 'answered 0a000001', 'gone'])
  })
}

test('a device that cannot be is refused with the reason', () => {
  assert.throws(() => openTap('no/slash', () => {}), /TAP device|\/dev\/net\/tun|node:ffi/)
})
