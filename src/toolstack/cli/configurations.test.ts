/**
 * Configurations as xl prints and updates them, as real xl 4.17 did for the same files.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sampleSpec } from '../domain/fake-control.ts'
import type { DomainSummary } from '../domain/libxl.ts'
import { listJson } from './config-json.ts'
import { expectXl, settle, xl } from './fake-world.ts'

const uuid = '11111111-2222-3333-4444-555555555555'
const file = 'name="a"\ntype="pvh"\nkernel="/kernel"\nramdisk="/kernel"\nmemory=128\n' +
  `extra="console=hvc0"\nuuid="${uuid}"\n`
const WARNING = '!WARNING: xl now has better capability to manage domain configuration, avoid ' +
  'using this command when possible'

/** What real xl prints for the file, with lines in some places. */
function asked(build: string, limits = '', params = '', actions = ''): string {
  return `{
    "c_info": {
        "type": "pvh",
        "name": "a",
        "uuid": "${uuid}",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
${build}${limits}        "sched_params": {
${params}
        },
        "claim_mode": "True",
        "kernel": "/kernel",
        "cmdline": "console=hvc0",
        "ramdisk": "/kernel",
        "type.pvh": {

        },
        "arch_arm": {

        },
        "arch_x86": {

        }
    },
    "on_reboot": "restart",
${actions}    "on_soft_reset": "soft_reset"
}
`
}

const PLAIN = '        "max_memkb": 131072,\n        "target_memkb": 131072,\n'

const MADE = `[
    {
        "domid": 1,
        "config": {
            "c_info": {
                "type": "pvh",
                "name": "a",
                "domid": 4294967295,
                "uuid": "${uuid}",
                "run_hotplug_scripts": "True"
            },
            "b_info": {
                "max_vcpus": 2,
                "avail_vcpus": [
                    0,
                    1
                ],
                "max_memkb": 131072,
                "target_memkb": 131072,
                "video_memkb": 0,
                "sched_params": {
                    "sched": "credit2",
                    "weight": 256,
                    "cap": 0
                },
                "claim_mode": "True",
                "kernel": "/kernel",
                "cmdline": "console=hvc0",
                "ramdisk": "/kernel",
                "type.pvh": {

                },
                "arch_arm": {

                },
                "arch_x86": {
                    "msr_relaxed": "False"
                }
            },
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset"
        }
    }
]

`

function world() {
  const all = xl()
  all.files.set('b.cfg', file)
  return all
}

test('a dry run prints what was asked for, and no default', async () => {
  const { run } = world()
  const { out, err } = await run('create -n b.cfg')
  assert.equal(out, asked(PLAIN))
  assert.equal(err, 'Parsing config from b.cfg\n')
  assert.equal((await run('create -n b.cfg cpus="0"')).out,
    asked(`        "numa_placement": "False",\n${PLAIN}`))
  const more = await run('-N create -q b.cfg tsc_mode="native" vcpus=2 maxvcpus=3 ' +
    'on_crash="preserve" cpu_weight=512 cap=10 max_grant_frames=16 max_event_channels=77')
  const expected = asked('        "max_vcpus": 3,\n        "avail_vcpus": [\n            0,\n' +
    `            1\n        ],\n        "tsc_mode": "native",\n${PLAIN}`,
  '        "max_grant_frames": 16,\n',
  '            "weight": 512,\n            "cap": 10', '    "on_crash": "preserve",\n')
  assert.equal(more.out, expected.replace('"claim_mode": "True",\n',
    '"claim_mode": "True",\n        "event_channels": 77,\n'))
  assert.equal(more.err, 'got a tsc mode string: "native"\n')
})

test('a dry run prints changes of CPUID as libxl\'s policy', async () => {
  const { run } = world()
  const { out } = await run('create -q -n b.cfg nomigrate=1 cpuid="host,avx2=k,bmi1=s,invtsc=1"')
  assert.ok(out.includes(`        "disable_migrate": "True",
        "cpuid": {
            "cpuid": [
                {
                    "leaf": 7,
                    "subleaf": 0,
                    "ebx": "xxxxxxxxxxxxxxxxxxxxxxxxxxkxsxxx"
                },
                {
                    "leaf": 2147483655,
                    "edx": "xxxxxxxxxxxxxxxxxxxxxxx1xxxxxxxx"
                }
            ],
            "msr": [

            ]
        },
`), out)
})

test('a dry run also prints what could not be made', async () => {
  const { run } = world()
  const { code, out } = await run('create -n b.cfg type="hvm"')
  assert.equal(code, 0)
  assert.match(out, /"type\.hvm": \{/)
})

test('create -d prints the same beside its messages, and makes the domain', async () => {
  const { run } = world()
  assert.deepEqual(await run('create -d -p b.cfg'), {
    code: 0, out: '', err: `Parsing config from b.cfg\n${asked(PLAIN)}`,
  })
  await expectXl(run, 'domid a', 0, '>1')
})

test('list -l prints what a domain was made from, defaults included', async () => {
  const { run } = world()
  await run('create -p b.cfg vcpus=2')
  assert.deepEqual(await run('list -l a'), { code: 0, out: MADE, err: '' })
  assert.equal((await run('list -lv a')).out, MADE)
  await run('create -p b.cfg name="b"')
  assert.doesNotMatch((await run('list -l b')).out, /vcpus/, 'a default is left out')
  await run('destroy b')
  const both = JSON.parse((await run('list -l')).out) as { domid: number }[]
  assert.deepEqual(both.map(({ domid }) => domid), [0, 1])
})

test('disks and interfaces are listed in that order, with what was chosen for them', () => {
  const disk = {
    path: '/dev/loop0', vdev: 'xvda', format: 'raw', writable: true, removable: false,
    isCdrom: false, directIoSafe: false,
  } as const
  const spec = { ...sampleSpec, disks: [disk], vifs: [{ devid: 0, bridge: 'xenbr0' }] }
  const summary = { domid: 1, uuid } as DomainSummary
  const [listed] = JSON.parse(listJson([{ summary, spec }])) as { config: object }[]
  const entries = Object.entries(listed?.config ?? {}).filter(([key]) => /disks|nics/.test(key))
  assert.deepEqual(entries, [
    ['disks', [{
      pdev_path: '/dev/loop0', vdev: 'xvda', format: 'raw', readwrite: 1,
      colo_restore_enable: 'False',
    }]],
    ['nics', [{ devid: 0, bridge: 'xenbr0', nictype: 'vif' }]],
  ])
})

test('a domain has the weight and cap that it was given', async () => {
  const { run, control } = world()
  await run('create -p b.cfg cpu_weight=512')
  assert.deepEqual(control.weights.get(1), { weight: 512, cap: 0 })
  assert.match((await run('list -l a')).out, /"weight": 512,\n +"cap": 0/)
})

test('config-update changes what comes after a reboot, and shows nothing before', async () => {
  const { run, files, host, control } = world()
  await run('create -p b.cfg vcpus=2')
  files.set('c.cfg', `${file}memory=200\n`)
  await expectXl(run, 'config-update a c.cfg vcpus=1', 0, WARNING, '!setting dom1 configuration')
  assert.equal((await run('list -l a')).out, MADE)
  await run('unpause a')
  host.nowMs += 10_000
  control.shutDown(1, 1)
  await host.pass(0)
  await settle()
  assert.match((await run('list -l a')).out, /"max_vcpus": 1,[^]*"max_memkb": 204800,/)
})

test('config-update takes its domain first, and says what is wrong as real xl does', async () => {
  const { run, files } = world()
  await run('create -p b.cfg')
  const { err } = await run('config-update')
  assert.equal(err, 'xl config-update requires a domain argument\n')
  assert.equal((await run('config-update')).code, 1)
  await expectXl(run, 'config-update nosuch b.cfg', 1, WARNING,
    '!nosuch is an invalid domain identifier (rc=-6)')
  await expectXl(run, 'config-update a', 1, WARNING, '!Config file not specified')
  await expectXl(run, 'config-update a nonsense=1', 1, WARNING, '!Config file not specified')
  await expectXl(run, 'config-update a /nonexistent', 253, WARNING,
    '!Failed to read config file: /nonexistent: No such file or directory')
  assert.equal((await run('config-update a b.cfg c.cfg')).code, 2)
  await expectXl(run, 'config-update a -f b.cfg', 0, WARNING, '!setting dom1 configuration')
  await expectXl(run, 'config-update 0 b.cfg', 0, WARNING, '!setting dom0 configuration')
  files.set('pv.cfg', file.replace('pvh', 'pv'))
  assert.equal((await run('config-update a pv.cfg')).code, 1)
})

test('config-update prints the configuration when it is only to be looked at', async () => {
  const { run } = world()
  await run('create -p b.cfg')
  const config = asked(PLAIN).trimEnd().replaceAll('\n', '\n    ').replaceAll(/^ +$/gm, '')
  const expected = `{\n    "domid": null,\n    "config": ${config}\n}\n`
  assert.deepEqual(await run('-N config-update a b.cfg'),
    { code: 0, out: expected, err: `${WARNING.slice(1)}\n` })
  assert.deepEqual(await run('config-update a -d b.cfg'),
    { code: 0, out: expected, err: `${WARNING.slice(1)}\nsetting dom1 configuration\n` })
})

test('xl.conf says what domains have that do not say otherwise', async () => {
  const { run, files } = world()
  files.set('xl.conf', 'vif.default.bridge="br7"\nvif.default.script="vif-openvswitch"\n' +
    'max_grant_frames=40\nautoballoon="off"\nvm.cpumask="0-3"\ndomid_policy="random"\nmore=1\n')
  const { out, err } = await run('create -n -q b.cfg vif=["bridge=mine",""] max_maptrack_frames=9')
  assert.equal(err, 'xl.conf:5: warning: parameter `vm.cpumask\' is not supported yet and ' +
    'ignored\nxl.conf:6: warning: parameter `domid_policy\' is not supported yet and ignored\n' +
    'xl.conf:7: warning: parameter `more\' is unknown and ignored\n')
  const { nics, b_info } = JSON.parse(out) as
    { nics: readonly object[], b_info: Readonly<Record<string, unknown>> }
  assert.deepEqual(nics, [
    { devid: 0, bridge: 'mine', script: 'vif-openvswitch' },
    { devid: 1, bridge: 'br7', script: 'vif-openvswitch' },
  ])
  assert.deepEqual([b_info['max_grant_frames'], b_info['max_maptrack_frames']], [40, 9])
  files.set('xl.conf', 'vif.default.bridge="br7"\n')
  await run('create -q -p b.cfg')
  assert.match((await run('-N network-attach a mac=00:16:3e:00:00:07')).out, /"bridge": "br7"/)
  files.set('xl.conf', 'nonsense')
  const { code } = await run('create -q -p b.cfg name="c"')
  assert.equal(code, 1)
})

test('limits of the hypervisor are what the configuration asks for', async () => {
  const { run, control } = world()
  await run('create -q -p b.cfg max_grant_frames=16 max_maptrack_frames=8 max_grant_version=2 ' +
    'max_event_channels=77')
  await run('create -q -p b.cfg name="usual"')
  const limits = [1, 2].map((domid) => {
    const { maxEvtchnPort, maxGrantFrames, maxMaptrackFrames, grantVersion } =
      control.domains.get(domid)!.config
    return [maxEvtchnPort, maxGrantFrames, maxMaptrackFrames, grantVersion]
  })
  assert.deepEqual(limits, [[77, 16, 8, 2], [undefined, undefined, undefined, undefined]])
  assert.match((await run('list -l a')).out, /"max_grant_frames": 16,/)
})
