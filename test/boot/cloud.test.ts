/**
 * Debian's cloud kernel, unmodified, as a PVH domain: what it finds, what it can do, and that it
 * comes again after a reboot, from within and from without, and after a panic.
 *
 * The expected words are those of the same kernel on real Xen 4.17 (golden/pvh-dmesg.txt holds what
 * both print, with # for numbers).
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Conversation } from './console.ts'
import { debian, PROMPT, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')

/** What every release prints under Xen. */
const ALWAYS = [
  'Hypervisor detected: Xen HVM', 'Booting kernel on Xen PVH', 'xen:events: Using FIFO-based ABI',
  'xen:events: Xen HVM callback vector for event delivery is enabled',
  'xen:grant_table: Grant tables using version 1 layout', 'Grant table initialized',
  'clocksource: Switched to clocksource xen', 'Run /init as init process',
]
/** The release that golden/pvh-dmesg.txt was recorded with. */
const RECORDED = /^6\.1\./
/** What must be there; what the kernel derives from it is its own affair. */
const FEATURES = `fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx
  fxsr sse sse2 syscall nx mmxext pdpe1gb rdtscp lm pni pclmulqdq ssse3 cx16 pcid sse4_1 sse4_2
  x2apic movbe popcnt aes xsave avx f16c fma rdrand hypervisor lahf_lm abm sse4a vmmcall fsgsbase
  tsc_adjust bmi1 avx2 smep bmi2 invpcid rdseed adx smap clflushopt sha_ni xsaveopt xsavec xsaves
  umip`

/** A line of the kernel's log without its time, and with # for numbers. */
function shapeOf(line: string): string {
  return line.replace(/^\[ *\d+\.\d+\] /, '').trimEnd()
    .replaceAll(/0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+/gi, '#')
}

describe('Debian\'s cloud kernel', { skip: missing }, () => {
  const host = new TestHost()
  let create: Conversation
  let shell: Shell
  let dmesg = ''

  before(async () => {
    const config = host.config('g', { ...settings, memory: 256, on_crash: 'restart' })
    create = host.start('create', '-c', config)
  })
  after(() => host.close())

  test('reaches a shell', async () => {
    const said = await create.expect(PROMPT)
    assert.match(said, /hypervisor: xen, guest type: PVH\./)
    assert.doesNotMatch(said, /Oops|BUG:|WARNING:|Call Trace/)
  })

  test('its shell edits lines, and Ctrl-C ends what runs', async () => {
    create.send('echo on\x7fne-$((1+1))\n')
    await create.expect('\none-2\n')
    create.send('sleep 1000\n')
    await create.expect('sleep 1000')
    await delay(500)
    create.send('\x03')
    await create.expect(PROMPT)
    create.send('echo status-$?\n')
    await create.expect('\nstatus-130\n')
    shell = await Shell.take(create)
  })

  test('waits for nothing while it starts', async () => {
    const [, , , , idle = '0'] = (await shell.output('grep "^cpu " /proc/stat')).split(/ +/)
    assert.ok(Number(idle) < 450, `idle for ${idle} hundredths of a second`)
  })

  test('logs what it logs on real Xen', async () => {
    dmesg = await shell.output('dmesg')
    const lines = new Set(dmesg.split('\n').map(shapeOf))
    const release = await shell.output('uname -r')
    const golden = RECORDED.test(release)
      ? readFileSync(join(import.meta.dirname, 'golden/pvh-dmesg.txt'), 'utf8').split('\n')
      : []
    const expected = [...golden, ...ALWAYS.map(shapeOf)]
    assert.deepEqual(expected.filter((line) => line !== '' && !lines.has(line)), [])
    assert.match(dmesg, /x2apic enabled|x2apic: enabled/)
    assert.match(dmesg, /Xen version: 4\.17\.7/)
  })

  test('logs nothing that it does not log on real Xen', () => {
    assert.doesNotMatch(dmesg, /PM-Timer|WARNING:|Call Trace|Firmware Bug|ACPI (BIOS )?Error/)
    assert.doesNotMatch(dmesg, /xenbus.*(error|[Tt]imeout|Waiting|failed)|timed out/)
    assert.doesNotMatch(dmesg, /[Uu]nstable|soft lockup|hung task|general protection|segfault/)
  })

  test('has the memory map of a PVH domain', () => {
    const ranges = [...dmesg.matchAll(/BIOS-e820: \[mem (0x\w+)-(0x\w+)\] (.*)/g)]
      .map(([, first = '', last = '', type]) => `${BigInt(first).toString(16)}-` +
        `${BigInt(last).toString(16)} ${type}`)
    assert.deepEqual(ranges.filter((range) => !range.endsWith('ACPI data')), [
      '0-9ffff usable', 'a0000-fffff reserved', '100000-fffffff usable',
      'feff8000-feffffff reserved',
    ])
    assert.match(ranges.join('\n'), /^fc000000-fc\w+ ACPI data$/m)
  })

  test('shows its hypervisor in /sys', async () => {
    const show = (name: string) => shell.output(`cat /sys/hypervisor/${name}`)
    assert.equal(await show('type'), 'xen\n')
    assert.equal(await show('guest_type'), 'PVH\n')
    assert.equal(await show('properties/features'), '00012305\n')
    assert.equal(await show('properties/pagesize'), '1000\n')
    assert.equal(await show('properties/virtual_start'), 'ffff800000000000\n')
    assert.match(await show('properties/capabilities'),
      /hvm-3\.0-x86_32 hvm-3\.0-x86_32p hvm-3\.0-x86_64/)
    assert.equal(await show('properties/changeset'), '\n')
    assert.equal(await show('compilation/compiled_by'), 'xenolith\n')
    assert.equal(await show('version/major'), '4\n')
    assert.equal(await show('version/minor'), '17\n')
    const { out } = await host.xl('list', '-l', 'g')
    assert.ok(out.includes((await show('uuid')).trim()))
  })

  test('has Xen\'s interrupts and no other', async () => {
    const table = await shell.output('cat /proc/interrupts')
    const names = [...table.matchAll(/^ *(\d+): +\d+ +(.*)$/gm)]
      .map(([, line, name = '']) => `${line} ${name.replaceAll(/ +/g, ' ')}`)
    assert.deepEqual(names, [
      '0 XT-PIC timer', '2 XT-PIC cascade', '16 xen-percpu -virq timer0',
      '17 xen-percpu -ipi resched0', '18 xen-percpu -ipi callfunc0',
      '19 xen-percpu -ipi callfuncsingle0', '20 xen-dyn -event xenbus',
      '21 xen-dyn-lateeoi -event hvc_console',
    ])
    assert.match(table, /^ *0: +0 /m)
    assert.match(table, /^ *LOC: +0 /m)
    assert.match(table, /^ *HYP: +[1-9]/m)
    assert.match(table, /^ *ERR: +0$/m)
  })

  test('finds xenbus, and no device on it', async () => {
    assert.equal(await shell.output('ls /sys/bus/xen/devices'), '')
    assert.equal(await shell.output('ls -d /sys/bus/xen /sys/bus/xen-backend 2>/dev/null | wc -l'),
      '2\n')
  })

  test('reads its own number through /dev/xen/xenbus', async () => {
    // struct xsd_sockmsg: XS_READ (2), request 7, no transaction, 6 bytes.
    const request = '\\002\\0\\0\\0\\007\\0\\0\\0\\0\\0\\0\\0\\006\\0\\0\\0domid\\0'
    const reply = await shell.output(`exec 3<>/dev/xen/xenbus; printf '${request}' >&3; ` +
      'dd bs=16 count=1 <&3 2>/dev/null | od -An -tx4; dd bs=64 count=1 <&3 2>/dev/null; exec 3<&-')
    assert.equal(reply, ' 00000002 00000007 00000000 00000001\n1')
  })

  test('finds the processor that it is promised', async () => {
    const cpuinfo = await shell.output('cat /proc/cpuinfo')
    assert.match(cpuinfo, /^vendor_id\t: AuthenticAMD$/m)
    const flags = new Set(/^flags\t\t: (.*)$/m.exec(cpuinfo)?.[1]?.split(' '))
    assert.deepEqual(FEATURES.split(/\s+/).filter((name) => !flags.has(name)), [])
    assert.equal([...cpuinfo.matchAll(/^processor\t/gm)].length, 1)
  })

  test('thinks it safe from what other processors suffer', async () => {
    const files = await shell.output('grep . /sys/devices/system/cpu/vulnerabilities/*')
    const states = files.trim().split('\n').map((line) => line.split(':').slice(1).join(':'))
    assert.ok(states.length >= 8)
    assert.deepEqual(states.filter((state) => !/^(Not affected|Mitigation: )/.test(state)), [])
    assert.doesNotMatch(files, /Vulnerable|no microcode/)
  })

  test('tells the time', async () => {
    const before = Math.floor(Date.now() / 1000)
    const guest = Number(await shell.output('date +%s'))
    const now = Math.ceil(Date.now() / 1000)
    // Until it switches to Xen's clock the kernel counts ticks, of which a slow boot misses some.
    assert.ok(guest >= before - 120 && guest <= now + 2, `${guest}, not ${before} to ${now}`)
    const current = '/sys/devices/system/clocksource/clocksource0/current_clocksource'
    assert.equal(await shell.output(`cat ${current}`), 'xen\n')
  })

  test('has the memory it was given', async () => {
    const total = Number(/^Mem: +(\d+)/m.exec(await shell.output('free -k'))?.[1])
    assert.ok(total > 215_000 && total < 256 * 1024, `${total} KiB`)
  })

  test('computes: hashes, floating point, arithmetic', async () => {
    const pattern = '0123456789abcdef\n'.repeat(4 * 1024 * 1024 / 16).slice(0, 4 * 1024 * 1024)
    const sum = createHash('sha256').update(pattern).digest('hex')
    const hashed = await shell.output(
      'yes 0123456789abcdef | head -c 4194304 | tee /tmp/pattern | sha256sum; ' +
      'dd if=/tmp/pattern of=/tmp/copy bs=3000 2>/dev/null; sha256sum </tmp/copy; rm /tmp/copy')
    assert.equal(hashed, `${sum}  -\n${sum}  -\n`)
    const md5 = createHash('md5').update(pattern).digest('hex')
    assert.equal(await shell.output('md5sum </tmp/pattern'), `${md5}  -\n`)
    const fraction = 'printf "%.17g %.17g %.17g", 1 / 3, 2 / 3 * 1e300, 1e-310 / 7'
    assert.equal(await shell.output(`awk 'BEGIN { ${fraction} }'`),
      '0.33333333333333331 6.666666666666667e+299 1.4285714285714242e-311')
    assert.equal(await shell.output('awk \'BEGIN { for (i = 1; i <= 100000; i++) s += 1 / i; ' +
      'printf "%.9f", s }\''), '12.090146130')
    assert.equal(await shell.output('echo $((12345678912 * 98765432 % 1000000007 / 3))'),
      `${12345678912n * 98765432n % 1000000007n / 3n}\n`)
  })

  test('compresses and unpacks to the same', async () => {
    assert.equal(await shell.output(
      'gzip -9 </tmp/pattern | gunzip | cmp - /tmp/pattern && echo same; ' +
      'tar c -C /tmp pattern | tar x -O | cmp - /tmp/pattern && echo same'), 'same\nsame\n')
  })

  test('forks many processes', async () => {
    const loop = 'i=0; while [ $i -lt 300 ]; do (exit 7) || i=$((i+1)); done; echo $i'
    assert.equal(await shell.output(loop), '300\n')
    assert.equal(await shell.output(
      'for i in 1 2 3 4 5 6 7 8; do (sleep 0.1; echo $i) & done; wait; echo all')
      .then((text) => text.trim().split('\n').sort().join(' ')), '1 2 3 4 5 6 7 8 all')
    assert.equal(await shell.output('busybox seq 2000 | busybox xargs -n 100 busybox echo | wc -l'),
      '20\n')
  })

  test('delivers signals', async () => {
    const run = async (script: string) => (await shell.run(`sh -c '${script}'`)).status
    assert.equal(await run('trap "exit 3" TERM; kill -TERM $$; sleep 9'), 3)
    assert.equal(await run('kill -SEGV $$'), 139)
    assert.equal(await run('kill -FPE $$'), 136)
    assert.equal((await shell.run('timeout 1 sleep 1000')).status, 143)
    // SIGALRM of a timer, and a process that is stopped and goes on.
    assert.equal(await shell.output('sleep 1000 & kill -STOP $!; ' +
      'for i in 1 2 3 4 5 6 7 8 9; do s=$(cut -d" " -f3 /proc/$!/stat); ' +
      '[ $s = T ] && break; sleep 0.1; done; echo $s; kill -CONT $!; ' +
      'sleep 0.2; cut -d" " -f3 /proc/$!/stat; kill $!'), 'T\nS\n')
  })

  test('a flood on its console reaches the reader whole', async () => {
    const line = `${'0123456789'.repeat(20)}\n`
    const { output } = await shell.run(`yes ${line.trim()} | head -c ${line.length * 5000}`)
    assert.equal(output.length, line.length * 5000)
    assert.ok(output === line.repeat(5000), 'the same text came out')
  })

  test('typing faster than it reads loses nothing', async () => {
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i} of what was typed at once`)
    shell.console.send(`n=0; while read -r a; do [ "$a" = end ] && break; n=$((n+1)); ` +
      `[ "$a" = "line $((n-1)) of what was typed at once" ] || echo wrong: $a; done; echo $n\n`)
    shell.console.send(`${lines.join('\n')}\nend\n`)
    assert.equal(await shell.console.expect('<<0>>\n'), '500\n')
  })

  test('xl tells of it', async () => {
    const [, domid, memory, vcpus, state] = await host.listed('g') ?? []
    assert.deepEqual([domid, memory, vcpus], ['1', '256', '1'])
    assert.match(state ?? '', /^[r-][b-]----$/)
    assert.deepEqual(await host.xl('domid', 'g'), { code: 0, out: '1\n', err: '' })
    assert.deepEqual(await host.xl('domname', '1'), { code: 0, out: 'g\n', err: '' })
    const { out } = await host.xl('vcpu-list', 'g')
    assert.match(out, /^g +1 +0 +0 +[-rb]{3} +\d+\.\d +all \/ all$/m)
    assert.match((await host.xl('uptime', 'g')).out, /^g +1 +\d+:\d\d:\d\d$/m)
  })

  test('a paused domain says nothing until it is unpaused', async () => {
    assert.equal((await host.xl('pause', 'g')).code, 0)
    assert.match((await host.listed('g'))?.[4] ?? '', /^-[b-]p---$/)
    shell.console.send('echo ali""ve\n')
    await delay(1000)
    assert.doesNotMatch(create.transcript.slice(-40), /alive/)
    assert.equal((await host.xl('unpause', 'g')).code, 0)
    assert.equal(await create.expect('<<0>>\n'), 'alive\n')
  })

  test('a second console sees the same, and Ctrl-] detaches it', async () => {
    const second = host.startAtTerminal('console', 'g')
    for (let i = 0; i < 200 && !/attached\n.*attached/s.test(host.log); i++) await delay(100)
    second.send('echo se""en\n')
    await second.expect('seen')
    await create.expect('seen\n<<0>>\n')
    second.send('\x1d')
    assert.equal((await second.ended()).code, 0)
    assert.equal((await shell.run('echo still here')).output, 'still here\n')
  })

  test('reboot makes it again under a new number, and ends the old console', async () => {
    create.send('reboot\n')
    assert.deepEqual((await create.ended()).code, 0)
    create = await host.consoleOf('g', 2)
    shell = await Shell.take(create)
    assert.match(host.log, /Domain 1 has shut down, reason code 1/)
    assert.equal((await shell.run('cat /sys/hypervisor/type')).output, 'xen\n')
  })

  test('a panic is a crash, after which it is made again as configured', async () => {
    create.send('echo c >/proc/sysrq-trigger\n')
    await create.expect('Kernel panic - not syncing: sysrq triggered crash')
    assert.equal((await create.ended()).code, 0)
    create = await host.consoleOf('g', 3)
    assert.match(host.log, /Domain 2 has shut down, reason code 3/)
  })

  test('xl reboot asks it to come again', async () => {
    await create.expect(PROMPT)
    const { code, err } = await host.xl('reboot', '-w', 'g')
    assert.equal(code, 0, err)
    assert.match(err, /Domain 3 has been shut down, reason code 1/)
    assert.equal((await create.ended()).code, 0)
    create = await host.consoleOf('g', 4)
    await create.expect('Linux version')
  })

  test('xl destroy ends it, and its console', async () => {
    assert.deepEqual(await host.xl('destroy', 'g'), { code: 0, out: '', err: '' })
    assert.equal((await create.ended()).code, 0)
    assert.deepEqual(await host.domains(), [])
  })
})
