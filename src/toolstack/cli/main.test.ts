/**
 * xl's words and exit codes, as real xl 4.17 gave them for the same command lines.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LocalLibxl } from '../domain/local-libxl.ts'
import { HostGone } from '../host/client.ts'
import { expectXl, settle, xl } from './fake-world.ts'

test('mistakes are answered in the words of xl', async () => {
  const { run } = xl()
  await expectXl(run, 'create /nonexistent', 3,
    '!Failed to read config file: /nonexistent: No such file or directory')
  await expectXl(run, 'domid nosuch', 1,
    '!Can\'t get domid of domain name \'nosuch\', maybe this domain does not exist.')
  for (const line of ['destroy nosuch', 'console nosuch', 'shutdown nosuch', 'reboot nosuch',
    'pause nosuch', 'unpause nosuch', 'uptime nosuch', 'list nosuch']) {
    await expectXl(run, line, 1, '!nosuch is an invalid domain identifier (rc=-6)')
  }
  await expectXl(run, 'vcpu-list nosuch', 1,
    '!nosuch is an invalid domain identifier (rc=-6)',
    '>Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)')
  await expectXl(run, 'badcmd', 1, '!command not implemented')
  await expectXl(run, 'sh', 1, '!command not implemented')
  await expectXl(run, 'pause', 2, '!\'xl pause\' requires at least 1 argument.', '!',
    '>Usage: xl [-vtTf] pause <Domain>', '>', '>Pause execution of a domain.', '>')
  await expectXl(run, 'list -z', 2, '!option `z\' not supported.')
  await expectXl(run, '-z list', 1, '!xl: invalid option -- \'z\'', '!unknown global option')
  await expectXl(run, '--jit', 1, '!xl: invalid option -- \'-\'', '!unknown global option')
  await expectXl(run, '--help', 1, '!xl: invalid option -- \'-\'', '!unknown global option')
  await expectXl(run, 'reboot 99', 1, '!Rebooting domain 99',
    '!libxl: error: unable to get domain type for domid=99', '!reboot failed (rc=-3)')
  await expectXl(run, 'destroy 99', 1, '!libxl: error: Domain 99:Non-existant domain',
    '!libxl: error: Domain 99:Unable to destroy guest',
    '!libxl: error: Domain 99:Destruction of domain failed', '!destroy failed (rc=-21)')
  await expectXl(run, '-N list', 1, '!command does not implement -N (dryrun) option')
  await expectXl(run, 'create', 6, '!Config file not specified and none in save file')
  await expectXl(run, 'create a=b', 6, '!Config file not specified and none in save file')
  await expectXl(run, 'shutdown', 1, '!You must specify -a or a domain id.', '!')
  await expectXl(run, 'list 99', 1, '!Error: Domain \'99\' does not exist.')
  await expectXl(run, 'domname abc', 1, '!Invalid domain id.', '!')
  await expectXl(run, 'domname 99', 1,
    '!Can\'t get domain name of domain id \'99\', maybe this domain does not exist.')
  await expectXl(run, 'destroy 0', 1, '!Not destroying domain 0; use -f to force.',
    '!This can only be done when using a disaggregated hardware domain and toolstack.', '!')
  await expectXl(run, 'pause 0', 0, '!libxl: error: Pausing domain: Invalid argument')
  await expectXl(run, 'help nosuch', 0, '>command "nosuch" not implemented')
  await expectXl(run, 'console 99', 1,
    '!libxl: error: unable to get domain type for domid=99', '!Unable to attach console')
  await expectXl(run, 'create -n a.cfg on_poweroff="foo"', 1, '!Parsing config from a.cfg',
    '!Unknown on_poweroff action "foo" specified')
})

test('what cannot be had is empty in lists, and refused with the reason elsewhere', async () => {
  const { run } = xl()
  await run('create -p a.cfg')
  const unknown = '!nosuch is an invalid domain identifier'
  await expectXl(run, 'channel-list pvh 0', 0,
    `>Idx BE state evt-ch ring-ref connection ${' '.repeat(30)}`)
  await expectXl(run, 'channel-list nosuch', 1, `${unknown} (rc=-6)`,
    `>Idx BE state evt-ch ring-ref connection ${' '.repeat(30)}`)
  await expectXl(run, 'vtpm-list nosuch pvh', 0, unknown,
    `>Idx BE Uuid${' '.repeat(33)}handle state evt-ch ring-ref BE-path   `)
  await expectXl(run, 'vkb-list pvh', 0,
    '>Idx BE handle state evt-ch    ref ID         BE-type    BE-path' + ' '.repeat(23))
  for (const line of ['vdispl-list pvh', 'vsnd-list 1', 'usb-list pvh', 'pci-list pvh',
    'pci-assignable-list']) {
    await expectXl(run, line, 0)
  }
  await expectXl(run, 'save pvh /tmp/x', 1,
    '!xl save is not implemented in this version: domains cannot be saved or moved')
  await expectXl(run, 'help psr-cat-set', 0, '>xl psr-cat-set is not implemented in this ' +
    'version: the emulated processor has no Platform Shared Resource features')
  await expectXl(run, 'getenforce', 255, '>Flask XSM Disabled')
  await expectXl(run, 'setenforce 1', 255, '!Flask XSM disabled')
  await expectXl(run, 'psr-hwinfo', 253, '>Cache Monitoring Technology (CMT):',
    '>Enabled         : 0')
  await expectXl(run, 'psr-cmt-show cache-occupancy', 255, '!CMT is disabled in the system')
  await expectXl(run, 'psr-cat-show', 253, '!Failed to get info')
  for (const line of ['setenforce', 'setenforce 5', 'loadpolicy', 'psr-cmt-show foo']) {
    const { code, out, err } = await run(line)
    assert.deepEqual([code, err], [2, ''])
    assert.match(out, /^Usage: xl \[-vtTf\] /)
  }
  await expectXl(run, 'setenforce Permissive', 255, '!Flask XSM disabled')
  await expectXl(run, 'loadpolicy a.cfg', 255, '!Flask XSM disabled')
  await expectXl(run, 'loadpolicy /none', 255,
    "!Error occurred opening policy file '/none': No such file or directory")
  await expectXl(run, 'set-parameters foo=1', 1,
    '!libxl: error: setting parameters: No such file or directory',
    '!cannot set parameters: foo=1')
  const { out } = await run('help')
  for (const [, name] of out.slice(out.indexOf('Not implemented')).matchAll(/^ (\S+) /gm)) {
    const { code, err } = await run(`${name} pvh`)
    assert.equal(code, 1)
    assert.match(err, /^xl \S+ is not implemented in this version: .*(no|cannot)/)
  }
})

test('dump-core writes a file, and says when there is nothing to dump', async () => {
  const { run, host } = xl()
  await run('create -p a.cfg')
  await expectXl(run, 'dump-core pvh /core', 0)
  assert.ok((await host.images.files.open('/core')).sizeBytes > 4096)
  await expectXl(run, 'dump-core nosuch /core', 1,
    '!nosuch is an invalid domain identifier (rc=-6)')
  assert.equal((await run('dump-core pvh')).code, 2)
})

test('--jit= before the command is a wish for a machine that it starts', async () => {
  const { run, jitWishes } = xl()
  assert.equal((await run('--jit=off list')).code, 0)
  assert.equal((await run('list')).code, 0)
  assert.deepEqual(jitWishes, ['off'])
})

test('creating a second domain of one name says so and leaves the first', async () => {
  const { run } = xl()
  await expectXl(run, 'create a.cfg', 0, '!Parsing config from a.cfg')
  await expectXl(run, 'create -q a.cfg', 3,
    '!libxl: error: Domain with name "pvh" already exists.')
  await expectXl(run, 'domid pvh', 0, '>1')
  await expectXl(run, 'domname 1', 0, '>pvh')
})

test('listings have the columns of xl', async () => {
  const { run, host } = xl()
  await run('create -p a.cfg')
  host.nowMs += 417_000
  const dom0 = 'Domain-0                                     0  1024     1     r-----       0.0'
  const pvh = 'pvh                                          1   256     1     --p---       0.0'
  const header = '>Name                                        ID   Mem VCPUs\tState\tTime(s)'
  await expectXl(run, 'list', 0, header, `>${dom0}`, `>${pvh}`)
  await expectXl(run, 'li pvh', 0, header, `>${pvh}`)
  await expectXl(run, 'list -c pvh', 0, `${header}         Cpupool`, `>${pvh}          Pool-0`)
  await expectXl(run, 'list -n pvh', 0, `${header} NODE Affinity`, `>${pvh} all`)
  await expectXl(run, 'list -Z pvh', 0, `${header}   Security Label`, `>${pvh}                -`)
  await expectXl(run, 'list -v 0', 0,
    `${header}   UUID                            Reason-Code\tSecurity Label`,
    `>${dom0} 00000000-0000-0000-0000-000000000000        -                -`)
  await expectXl(run, 'vcpu-list pvh', 0,
    '>Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)',
    '>pvh                                  1     0    0   -b-       0.0  all / all')
  await expectXl(run, 'uptime', 0,
    '>Name                                ID Uptime',
    '>Domain-0                             0  0:06:57',
    '>pvh                                  1  0:06:57')
})

test('xl info has the keys of xl in their order', async () => {
  const { run } = xl()
  const { out } = await run('info')
  const keys = out.split('\n').slice(0, -1).map((line) => line.slice(0, 25).trimEnd())
  assert.deepEqual(keys.map((key) => key.replace(/ *:$/, '')), [
    'host', 'release', 'version', 'machine', 'nr_cpus', 'max_cpu_id', 'nr_nodes',
    'cores_per_socket', 'threads_per_core', 'cpu_mhz', 'hw_caps', 'virt_caps', 'total_memory',
    'free_memory', 'sharing_freed_memory', 'sharing_used_memory', 'outstanding_claims',
    'free_cpus', 'xen_major', 'xen_minor', 'xen_extra', 'xen_version', 'xen_caps',
    'xen_scheduler', 'xen_pagesize', 'platform_params', 'xen_changeset', 'xen_commandline',
    'cc_compiler', 'cc_compile_by', 'cc_compile_domain', 'cc_compile_date', 'build_id',
    'xend_config_format',
  ])
  assert.match(out, /^hw_caps                : 00000001:00000002:/m)
  assert.match(out, /^xen_version            : 4\.17\.7$/m)
})

test('xl info with the beginning of a key prints the values of such lines', async () => {
  const { run } = xl()
  await expectXl(run, 'info xen_major', 0, '>4')
  await expectXl(run, 'info xen_m extra', 0, '>4', '>17')
  await expectXl(run, 'info extra', 0)
  assert.deepEqual(await run('info -n xen_major'), await run('info -n'))
})

test('every command of xl is named in its help, those that are missing apart', async () => {
  const { run } = xl()
  const { out, code } = await run('help')
  assert.equal(code, 0)
  assert.match(out, /^Usage xl \[-vfNtT\] <subcommand> \[args\]\n\nxl full list of subcommands:/)
  assert.match(out, /\n create {14}Create a domain from config file <filename>\n/)
  assert.match(out, /\nNot implemented in this version:\n\n(.*\n)* save {16}Save a domain state/)
  assert.equal((await run('')).code, 1)
})

test('a dry run prints the configuration and makes nothing', async () => {
  const { run, libxl } = xl()
  const { out, code } = await run('create -n a.cfg memory=128')
  assert.equal(code, 0)
  const { b_info: build } = JSON.parse(out) as { b_info: Record<string, unknown> }
  assert.equal(build['max_memkb'], 131072)
  assert.equal(build['cmdline'], 'console=hvc0')
  assert.match((await run('create -n a.cfg maxmem=128')).out,
    /"max_memkb": 131072,\n *"target_memkb": 262144,/)
  assert.equal((await libxl.list()).length, 1)
  assert.equal((await run('-N create a.cfg')).code, 0)
  assert.equal((await libxl.list()).length, 1)
})

test('create -c shows every word of the guest and ends with it', async () => {
  const { run, control, terminal } = xl()
  const running = run('create -c a.cfg')
  await settle()
  control.print(1, 'booting\n')
  terminal.type(new TextEncoder().encode('poweroff\n'))
  control.print(1, 'bye\n')
  control.shutDown(1, 0)
  assert.deepEqual(await running, { code: 0, out: '', err: 'Parsing config from a.cfg\n' })
  assert.equal(terminal.shown, 'booting\nbye\n')
  assert.equal(terminal.closed, 1)
})

test('Ctrl-] leaves a console at a terminal, and only there', async () => {
  const { run, libxl, terminal } = xl()
  await run('create a.cfg')
  terminal.isTerminal = true
  const attached = run('console pvh')
  await settle()
  terminal.type(new TextEncoder().encode('ls\n\x1d'))
  assert.equal((await attached).code, 0)
  terminal.isTerminal = false
  const piped = run('console pvh')
  await settle()
  terminal.type(new TextEncoder().encode('\x1d'))
  await libxl.destroy(1)
  assert.equal((await piped).code, 0)
})

test('a console whose host process dies says so', async () => {
  const { run, libxl, world, terminal } = xl()
  const machine = Object.create(libxl) as LocalLibxl
  let close = (): void => {}
  machine.create = async (_spec, _options, made) => {
    made?.(1)
    return 1
  }
  machine.unpause = async () => {}
  machine.attachConsole = async (_domid, sink) => {
    close = () => sink.closed()
    return { write: () => true, whenRoom: () => {}, detach: () => {} }
  }
  machine.list = async () => {
    throw new HostGone()
  }
  world.machine = async () => machine
  const attached = run('create -qc a.cfg')
  await settle()
  close()
  assert.deepEqual(await attached, { code: 1, out: '', err: 'xl: host process ended\n' })
  assert.equal(terminal.closed, 1)
})

test('create -F stays until the domain is gone for good, through its reboots', async () => {
  const { run, control, host } = xl()
  const running = run('create -F a.cfg')
  await settle()
  host.nowMs += 10_000
  control.shutDown(1, 1)
  await host.pass(0)
  await settle()
  control.shutDown(2, 0)
  const { code, err } = await running
  assert.equal(code, 0)
  assert.match(err, /Domain 2 has shut down, reason code 0\nDone. Exiting now\n$/)
})

test('shutdown waits for the end when asked to', async () => {
  const { run, control, libxl } = xl()
  await run('create a.cfg')
  const waiting = run('shutdown -w pvh')
  await settle()
  libxl.store.write('/local/domain/1/control/shutdown', '')
  control.shutDown(1, 0)
  assert.deepEqual(await waiting, {
    code: 0, out: '', err: 'Shutting down domain 1\nWaiting for 1 domains\n' +
      'Domain 1 has been shut down, reason code 0\n',
  })
  await expectXl(run, 'shutdown -a -w', 0, '!Waiting for 0 domains')
})

test('a guest that does not answer a request is reported as xl does', async () => {
  const { run, host } = xl()
  await run('create a.cfg')
  const asking = run('reboot pvh')
  await settle()
  await host.pass(60_000)
  assert.deepEqual(await asking, {
    code: 1, out: '', err: 'Rebooting domain 1\n' +
      'libxl: error: guest didn\'t acknowledge control request: -9\nreboot failed (rc=-9)\n',
  })
})

test('memory, VCPUs, sysrq keys and triggers are asked for as libxl does', async () => {
  const { run, libxl } = xl()
  await run('create a.cfg')
  const home = '/local/domain/1'
  await expectXl(run, 'mem-set pvh 100', 0)
  assert.equal(libxl.store.read(`${home}/memory/target`), '102400')
  await expectXl(run, 'mem-set pvh 112640k', 0)
  assert.equal(libxl.store.read(`${home}/memory/target`), '112640')
  assert.equal(libxl.store.read(`${libxl.store.read(`${home}/vm`)}/memory`), '110')
  await expectXl(run, 'mem-max pvh 300', 0)
  assert.equal(libxl.store.read(`${home}/memory/static-max`), '307200')
  await expectXl(run, 'sysrq pvh s', 0)
  assert.equal(libxl.store.read(`${home}/control/sysrq`), 's')
  await expectXl(run, 'vcpu-set pvh 1', 0)
  assert.equal(libxl.store.read(`${home}/cpu/0/availability`), 'online')
  await expectXl(run, 'trigger pvh nmi 0', 0)
})

test('what cannot be changed of a running domain is said as real xl says it', async () => {
  const { run } = xl()
  await run('create a.cfg')
  const invalid = '!nosuch is an invalid domain identifier (rc=-6)'
  for (const line of ['mem-set nosuch 1', 'mem-max nosuch 1', 'sysrq nosuch s',
    'trigger nosuch nmi', 'vcpu-set nosuch 1']) await expectXl(run, line, 1, invalid)
  await expectXl(run, 'mem-set pvh abc', 1, '!invalid memory size: abc')
  await expectXl(run, 'mem-set pvh 1000', 1,
    '!libxl: error: Domain 1:memory_dynamic_max must be less than or equal to memory_static_max',
    '!', '!cannot set domid 1 dynamic max memory to : 1000')
  await expectXl(run, 'mem-max pvh 10', 1,
    '!libxl: error: Domain 1:memory_static_max must be greater than or or equal to ' +
    'memory_dynamic_max: Success', '!cannot set domid 1 static max memory to : 10')
  await expectXl(run, 'sysrq pvh ss', 1, '!Invalid sysrq.', '!',
    '>Usage: xl [-vtTf] sysrq <Domain> <letter>', '>', '>Send a sysrq to a domain.', '>')
  await expectXl(run, 'trigger pvh foo', 1, '!Invalid trigger "foo"')
  await expectXl(run, 'trigger pvh s3resume', 0,
    "!libxl: error: Domain 1:Send trigger 's3resume' failed, rc=-6")
  await expectXl(run, 'network-detach pvh 9', 1, '!libxl: error: xenstore read failed: ' +
    "`/libxl/1/device/vif/9': No such file or directory", '!Unknown device 9.')
  await expectXl(run, 'devd -F -p /run/devd.pid', 0,
    '!devd: the host process serves the devices of domain 0 itself; nothing is started')
  await expectXl(run, 'network-attach pvh rate=foo', 1,
    '!command line: config parsing error in vif: invalid rate in `foo\'')
  await expectXl(run, 'vcpu-set pvh x', 1, '!Error: Invalid argument.')
  await expectXl(run, 'vcpu-set pvh 0', 1,
    '!libxl: error: Domain 1:Requested 0 VCPUs!: Function not implemented',
    '!libxl_set_vcpuonline failed domid=1 max_vcpus=0, rc: -3')
  await expectXl(run, 'vcpu-list pvh nosuch', 1, invalid,
    '>Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)',
    '>pvh                                  1     0    0   -b-       0.0  all / all')
  await expectXl(run, 'uptime pvh nosuch', 1, invalid)
  await expectXl(run, 'shutdown 0', 1, '!Shutting down domain 0',
    '!libxl: error: Domain 0:there is no kernel in it to ask', '!shutdown failed (rc=-3)')
  await expectXl(run, 'vcpu-set pvh 2', 1, '!You are overcommmitting! You have 1 physical ' +
    'CPUs and want 2 vCPUs! Aborting, use --ignore-host to continue')
  await expectXl(run, 'vcpu-set -i pvh 2', 1,
    '!libxl: error: Domain 1:Requested 2 VCPUs, however maxcpus is 1!: Function not implemented',
  '!libxl_set_vcpuonline failed domid=1 max_vcpus=2, rc: -3')
})

test('numbers are read as strtol reads them, also negative ones behind an operand', async () => {
  const { run } = xl()
  await run('create a.cfg')
  await expectXl(run, 'domname 1x', 0, '>pvh')
  await expectXl(run, 'domname 0x1', 0, '>Domain-0')
  await expectXl(run, 'vcpu-set pvh 1x', 0)
  await expectXl(run, 'vcpu-set pvh -1', 1, '!Error: Invalid argument.')
  await expectXl(run, 'vcpu-pin pvh -1 0', 1, '!Error: Invalid argument -1 as VCPU.')
  await expectXl(run, 'mem-set pvh -5', 1, '!invalid memory size: -5')
  await expectXl(run, 'vcpu-set -1 pvh', 2, "!option `1' not supported.")
  await expectXl(run, 'trigger pvh nmi x', 0, '!Invalid vcpuid, using default vcpuid=0.', '!')
  await expectXl(run, 'list --long=1', 2, "!option `l' not supported.")
  await expectXl(run, 'sched-credit2 --domain', 2, "!option `d' not supported.")
  await expectXl(run, 'mem-set pvh 99999999999999999999', 1,
    '!libxl: error: Domain 1:memory_dynamic_max must be less than or equal to memory_static_max',
    '!', '!cannot set domid 1 dynamic max memory to : 99999999999999999999')
})

test('a number that is no domain\'s is answered in each command\'s own words', async () => {
  const { run } = xl()
  await expectXl(run, 'unpause 99', 0, '!libxl: error: unable to get domain type for domid=99')
  await expectXl(run, 'rename 99 x', 1, '!Can\'t rename domain \'99\'.')
  await expectXl(run, 'mem-max 99 100', 1,
    '!libxl: error: unable to find domain info for domain 99: Success',
    '!cannot set domid 99 static max memory to : 100')
  await expectXl(run, 'mem-set 99 100', 1,
    '!libxl: error: unable to find domain info for domain 99: Success',
    '!cannot set domid 99 dynamic max memory to : 100')
  await expectXl(run, 'vcpu-set 99 1', 1)
  await expectXl(run, 'vcpu-set -i 99 1', 1,
    '!libxl: error: Domain 99:Getting domain info list: No such file or directory',
    '!Domain 99 does not exist.')
  await expectXl(run, 'vcpu-pin 99 0 0', 1, '!Could not get domain info')
  await expectXl(run, 'trigger 99 nmi', 0,
    "!libxl: error: Domain 99:Send trigger 'nmi' failed: No such process")
  await expectXl(run, 'console -n 3 99', 1, '!libxl: error: Domain 99:No such domain',
    '!Unable to attach console')
  await expectXl(run, 'shutdown -a 0', 0)
})
