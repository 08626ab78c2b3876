/**
 * A running guest that is changed and spoken to from outside: balloon, clock, VCPUs, channels and
 * sysrq keys.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { GuestConsole, Host } from 'xenolith'
import { debian, PROMPT } from './debian.ts'
import { PATIENCE } from './console.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const AHEAD_S = 1_000_000
const BALLOON = '/sys/devices/system/xen_memory/xen_memory0/info/current_kb'

describe('a running guest', { skip: missing }, () => {
  // Less than the guest could have.
  const host = new TestHost({ memoryMb: 280 })
  const socket = join(host.folder, 'channel')
  let api: Host
  let console: GuestConsole

  before(async () => {
    // The kernel wipes all that it takes for memory before its balloon gives up what it has not.
    const config = host.config('g', {
      ...settings, memory: 220, maxmem: 300, vcpus: 2, cmdline: 'console=hvc0 init_on_free=1',
      rtc_timeoffset: AHEAD_S,
      channel: ['connection=pty,name=a', `connection=socket,name=b,path=${socket}`],
    })
    assert.equal((await host.xl('create', '-q', config)).code, 0)
    api = await host.attach()
    console = await (await api.find('g') ?? assert.fail()).console()
    await console.expect(PROMPT, { signal: AbortSignal.timeout(PATIENCE * 1000) })
  })
  after(async () => {
    await host.close()
    await api.close()
  })

  /** Asks the guest until it says what is wanted. */
  async function becomes(command: string, wanted: (said: string) => boolean): Promise<void> {
    let said = ''
    for (let i = 0; i < 60; i++) {
      said = (await console.exec(command)).output.trim()
      if (wanted(said)) return
      await delay(300)
    }
    assert.fail(`${command} went on saying ${said}`)
  }

  const is = (wanted: string) => (said: string): boolean => said === wanted
  /** A PVH Linux counts a few pages of its own, as on real Xen. */
  const about = (kib: number) => (said: string): boolean => Math.abs(Number(said) - kib) < 1024

  test('has the memory that it shall have, gives back when asked, and takes again', async () => {
    await becomes(`cat ${BALLOON}`, about(220 * 1024))
    assert.deepEqual(await host.xl('mem-set', 'g', '200'), { code: 0, out: '', err: '' })
    await becomes(`cat ${BALLOON}`, about(200 * 1024))
    assert.ok(Math.abs(Number((await host.listed('g'))?.[2]) - 200) <= 1)
    assert.equal((await host.xl('mem-set', 'g', '240')).code, 0)
    await becomes(`cat ${BALLOON}`, about(240 * 1024))
    assert.ok(Math.abs(Number((await host.listed('g'))?.[2]) - 240) <= 1)
  })

  test('has a clock that is ahead of the host\'s by as much as was asked for', async () => {
    const seconds = Number((await console.exec('date +%s')).output)
    assert.ok(Math.abs(seconds - Date.now() / 1000 - AHEAD_S) < AHEAD_S / 2)
  })

  test('takes a VCPU away when asked, and brings it back', async () => {
    assert.equal((await host.xl('vcpu-set', 'g', '1')).code, 0)
    await becomes('cat /sys/devices/system/cpu/online', is('0'))
    assert.equal((await host.xl('vcpu-set', 'g', '2')).code, 0)
    // Linux finds it present again, and leaves it to user space to start it.
    await becomes('cat /sys/devices/system/cpu/present', is('0-1'))
    await console.exec('echo 1 > /sys/devices/system/cpu/cpu1/online')
    await becomes('cat /sys/devices/system/cpu/online', is('0-1'))
  })

  test('finds its channels, which lead to xl console -n and to a socket', async () => {
    // A line discipline forgets at the last close what it was told.
    const say = (device: string, words: string) => console.exec(
      `exec 3<>${device}; stty raw -echo <&3; echo ${words} >&3; head -n 1 <&3; exec 3>&-`)
    const terminal = host.start('console', '-n', '1', 'g')
    let answer = say('/dev/hvc1', 'to xl')
    await terminal.expect('to xl')
    terminal.send('from xl\n')
    assert.equal((await answer).output.trim(), 'from xl')
    const stream = connect(socket).setEncoding('utf8')
    await once(stream, 'connect')
    const coming = once(stream, 'data')
    answer = say('/dev/hvc2', 'to socket')
    assert.match(String((await coming)[0]), /^to socket/)
    stream.write('from outside\n')
    assert.equal((await answer).output.trim(), 'from outside')
    stream.destroy()
    const { out } = await host.xl('channel-list', 'g')
    const pty = /^1 +0 +4 +\d+ +\d+ +pty +(\/dev\/pts\/\d+) *$/m.exec(out)?.[1] ?? assert.fail(out)
    answer = say('/dev/hvc1', 'to whom it may concern')
    await promisify(execFile)('sh', ['-c', 'grep -m 1 whom <$0; echo from outside it >$0', pty])
    assert.equal((await answer).output.trim(), 'from outside it')
    assert.match(out, new RegExp(`^2 +0 +4 +\\d+ +\\d+ +socket +${socket} *$`, 'm'))
    assert.equal((await host.xl('console', '-n', '2', 'g')).err,
      'xenconsole: domain 1 has no such console\n')
  })

  test('obeys a sysrq key', async () => {
    assert.equal((await host.xl('sysrq', 'g', 'h')).code, 0)
    await becomes('dmesg | grep -c "sysrq: HELP"', is('1'))
  })
})
