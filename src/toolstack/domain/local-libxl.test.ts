/**
 * The life of domains, from creation to what follows their death, on a hypervisor that keeps books.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot } from '../../abi/xen/sched.ts'
import { XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_RELEASE } from '../../abi/xen/io/xs_wire.ts'
import { joinStrings, textOf } from '../../xenstore/wire.ts'
import { formatPermission } from '../../xenstore/permissions.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { FakeControl, FakeHost, sampleSpec } from './fake-control.ts'
import { ERROR_FAIL, LibxlError } from './libxl.ts'
import { LocalLibxl } from './local-libxl.ts'

function world() {
  const control = new FakeControl()
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const libxl = new LocalLibxl(control, new Xenstored(), host)
  const names = async (): Promise<string> => (await libxl.list())
    .filter((domain) => domain.domid !== 0)
    .map((domain) => `${domain.domid}:${domain.name}`).join(' ')
  return { control, host, libxl, names }
}

/** A subtree as xenstore-ls -fp would print it. */
function dump(libxl: LocalLibxl, path: string): string[] {
  const permissions = libxl.store.permissions(path).map(formatPermission).join(',')
  const children = libxl.store.directory(path).flatMap((name) => dump(libxl, `${path}/${name}`))
  return [`${path} = "${libxl.store.read(path)}"   (${permissions})`, ...children]
}

function refused(rc: number, pattern: RegExp) {
  return (error: unknown): boolean =>
    error instanceof LibxlError && error.rc === rc && pattern.test(error.message)
}

test('a created domain runs, and is listed with its name and memory', async () => {
  const { libxl, control } = world()
  const domid = await libxl.create(sampleSpec, {})
  const listed = (await libxl.list()).at(-1)
  assert.equal(domid, 1)
  assert.equal(listed?.name, 'guest')
  assert.equal(listed?.uuid, sampleSpec.uuid)
  assert.equal(Math.floor((listed?.memoryKib ?? 0) / 1024), 256)
  assert.equal(listed?.paused, false)
  assert.deepEqual(control.domain(1).granted, ['0 d0 fefff', '1 d0 feffc'])
  assert.equal(control.domain(1).parameters.get(17), 0xfefff)
})

test('the tree of a domain is what libxl writes, owners included', async () => {
  const { libxl } = world()
  await libxl.create(sampleSpec, {})
  assert.deepEqual(dump(libxl, '/local/domain/1'), expectedTree)
  assert.deepEqual(dump(libxl, '/local/domain/0/backend'), [
    '/local/domain/0/backend = ""   (n0)',
    '/local/domain/0/backend/console = ""   (n0)',
    '/local/domain/0/backend/console/1 = ""   (n0)',
    '/local/domain/0/backend/console/1/0 = ""   (n0,r1)',
    '/local/domain/0/backend/console/1/0/frontend = "/local/domain/1/console"   (n0,r1)',
    '/local/domain/0/backend/console/1/0/frontend-id = "1"   (n0,r1)',
    '/local/domain/0/backend/console/1/0/online = "1"   (n0,r1)',
    '/local/domain/0/backend/console/1/0/protocol = "vt100"   (n0,r1)',
    '/local/domain/0/backend/console/1/0/state = "1"   (n0,r1)',
  ])
})

test('a destroyed domain leaves nothing: no node, no port, no mapping', async () => {
  const { libxl, control } = world()
  const handlers = control.handlers.size
  await libxl.create(sampleSpec, {})
  const { mapped } = control.domain(1)
  assert.equal(mapped.size, 2)
  await libxl.destroy(1)
  assert.equal(mapped.size, 0)
  assert.equal(control.handlers.size, handlers)
  assert.deepEqual(libxl.store.directory('/local/domain'), ['0'])
  assert.deepEqual(libxl.store.directory('/vm'), [])
  assert.deepEqual(libxl.store.directory('/libxl'), [])
  assert.equal(libxl.store.read('/local/domain/0/backend'), undefined)
  assert.equal(libxl.domainCount, 0)
})

test('a domain can be released from the store and introduced again', async () => {
  const control = new FakeControl()
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const store = new Xenstored()
  const libxl = new LocalLibxl(control, store, host)
  await libxl.create(sampleSpec, {})
  let answer = ''
  const connection = store.connect(({ payload }) => void (answer = textOf(payload)))
  const ask = (type: number, ...strings: string[]): string => {
    store.handle(connection, {
      type, requestId: 1, transactionId: 0, payload: joinStrings(strings) })
    return answer
  }
  const { mapped } = control.domain(1)
  assert.equal(ask(XS_RELEASE, '1'), 'OK\0')
  assert.equal(mapped.size, 1)
  assert.equal(ask(XS_IS_DOMAIN_INTRODUCED, '1'), 'F\0')
  const [gfn, port] = ['ring-ref', 'port'].map((name) =>
    libxl.store.read(`/local/domain/1/store/${name}`) ?? '')
  assert.equal(ask(XS_INTRODUCE, '1', gfn ?? '', port ?? ''), 'OK\0')
  assert.equal(mapped.size, 2)
  assert.equal(ask(XS_INTRODUCE, '1', gfn ?? '', port ?? ''), 'OK\0')
  assert.equal(mapped.size, 2)
  assert.equal(ask(XS_INTRODUCE, '9', '1', '1'), 'EINVAL\0')
})

test('two domains cannot have one name, however close together they are made', async () => {
  const { libxl, names } = world()
  const both = await Promise.allSettled(
    [libxl.create(sampleSpec, {}), libxl.create(sampleSpec, {})])
  assert.deepEqual(both.map((one) => one.status).sort(), ['fulfilled', 'rejected'])
  await assert.rejects(libxl.create(sampleSpec, {}),
    refused(-6, /Domain with name "guest" already exists\./))
  assert.equal(await names(), '1:guest')
})

test('a domain that is destroyed while its files are read is not built', async () => {
  const { libxl, host, control, names } = world()
  const { promise: file, resolve: read } = Promise.withResolvers<Uint8Array>()
  host.readFile = () => file
  const { promise: made, resolve } = Promise.withResolvers<number>()
  const whole = assert.rejects(libxl.create(sampleSpec, {}, resolve),
    refused(-21, /Domain 1:No such domain/))
  await libxl.destroy(await made)
  read(sampleElf())
  await whole
  assert.equal(await names(), '')
  assert(!control.calls.includes('setMaxVcpus'))
})

test('what cannot be built says why and leaves nothing', async () => {
  const { libxl, host, names } = world()
  host.files.set('/text', new TextEncoder().encode('not a kernel at all'))
  const cases: [object, RegExp][] = [
    [{ kernel: '/none' }, /failed to open kernel '\/none': No such file or directory/],
    [{ ramdisk: '/none' }, /failed to open ramdisk '\/none'/],
    [{ kernel: '/text' }, /\/text: /],
    [{ memoryKib: 0 }, /0 KB of memory are too few/],
    [{ memoryKib: 8 * 1024, maxMemoryKib: 8 * 1024 }, /memory/],
    [{ memoryKib: 32 << 20, maxMemoryKib: 32 << 20 }, /32768 MB asked for, 4096 MB free/],
  ]
  for (const [change, pattern] of cases) {
    await assert.rejects(libxl.create({ ...sampleSpec, ...change }, {}), refused(-3, pattern))
  }
  assert.equal(await names(), '')
})

test('a domain that may grow needs no more than it begins with', async () => {
  const { libxl, control } = world()
  control.freePages = 200 * 256
  await libxl.create({ ...sampleSpec, memoryKib: 192 << 10, maxMemoryKib: 1024 << 10 }, {})
  assert.ok(control.calls.includes('populateLater') && control.calls.includes('setPodTarget'))
  await assert.rejects(
    libxl.create({ ...sampleSpec, name: 'b', memoryKib: 224 << 10, maxMemoryKib: 1 << 20 }, {}),
    refused(-3, /224 MB asked for, 200 MB free/))
})

test('CPUID shows what there is, unless a domain asks for less', async () => {
  for (const [more, isChanged] of [
    [{}, false], [{ cpuFeatures: [{ word: '7.ebx', bit: 5, value: '0' }] }, true],
  ] as const) {
    const { libxl, control } = world()
    await libxl.create({ ...sampleSpec, ...more }, {})
    assert.equal(control.calls.includes('setFeatures'), isChanged)
  }
})

test('a hypercall refused at any point of the making leaves nothing', async () => {
  for (const call of ['createDomain', 'setMaxVcpus', 'setMaxMem', 'setHvmParam', 'setTscInfo',
    'setPagingMempoolSize', 'populateRange', 'setMemoryMap', 'getHvmContext', 'setHvmContext']) {
    const { libxl, control, names } = world()
    control.failAt = call
    const why = call === 'createDomain' ? /^domain creation fail: Cannot allocate memory$/m
      : new RegExp(call)
    await assert.rejects(libxl.create(sampleSpec, {}), refused(-3, why))
    assert.equal(await names(), '', call)
    assert.deepEqual(libxl.store.directory('/local/domain'), ['0'], call)
  }
})

test('a domain waits for its interfaces; destroyed meanwhile, it does not come', async () => {
  const { libxl, host } = world()
  const created = assert.rejects(libxl.create({ ...sampleSpec, vifs: [{}] }, {}),
    refused(ERROR_FAIL, /unable to add vif device 0/))
  await host.pass(0)
  assert.equal((await libxl.list()).at(-1)?.paused, true)
  await libxl.destroy(1)
  await created
  assert.equal(libxl.store.read('/local/domain/1'), undefined)
  assert.equal(libxl.domainCount, 0)
})

test('a domain that powers off is destroyed', async () => {
  const { libxl, control, names } = world()
  await libxl.create(sampleSpec, {})
  const end = libxl.waitForEnd(1)
  control.shutDown(1, SHUTDOWN_poweroff)
  assert.deepEqual(await end, { how: 'shutdown', reason: 0 })
  assert.equal(await names(), '')
})

test('a domain that reboots comes again under a new domid', async () => {
  const { libxl, control, host, names } = world()
  await libxl.create(sampleSpec, {})
  await host.pass(60_000)
  control.shutDown(1, SHUTDOWN_reboot)
  assert.equal(libxl.domainCount, 1)
  await host.pass(0)
  assert.equal(await names(), '2:guest')
})

test('one that ends at once is restarted only after a pause', async () => {
  const { libxl, control, host, names } = world()
  await libxl.create({ ...sampleSpec, onCrash: 'restart' }, {})
  control.shutDown(1, SHUTDOWN_crash)
  await host.pass(100)
  assert.equal(await names(), '')
  await host.pass(2000)
  assert.equal(await names(), '2:guest')
})

test('a core dump comes before the restart, and not for what was destroyed', async () => {
  const { libxl, control, host, names } = world()
  await libxl.create({ ...sampleSpec, onCrash: 'coredump-restart' }, {})
  await host.pass(60_000)
  control.shutDown(1, SHUTDOWN_crash)
  assert.equal(await names(), '1:guest')
  for (let i = 0; i < 20 && await names() !== '2:guest'; i++) await host.pass(2000)
  assert.equal(await names(), '2:guest')
  const file = await host.images.files.open('/dump/guest')
  assert.ok(file.sizeBytes > 4096)
  control.shutDown(2, SHUTDOWN_crash)
  await libxl.destroy(2)
  for (let i = 0; i < 20; i++) await host.pass(2000)
  assert.equal(await names(), '')
})

test('preserve keeps the dead domain, rename-restart keeps it beside a new one', async () => {
  const { libxl, control, host, names } = world()
  await libxl.create({ ...sampleSpec, onCrash: 'preserve' }, {})
  control.shutDown(1, SHUTDOWN_crash)
  assert.equal((await libxl.list())[1]?.shutdownReason, SHUTDOWN_crash)
  await libxl.destroy(1)
  await libxl.create({ ...sampleSpec, onCrash: 'rename-restart' }, {})
  control.shutDown(2, SHUTDOWN_crash)
  await host.pass(2000)
  assert.equal(await names(), '2:guest-1 3:guest')
})

test('nobody acts on the death of an unattended domain', async () => {
  const { libxl, control, names } = world()
  await libxl.create(sampleSpec, { unattended: true })
  control.shutDown(1, SHUTDOWN_poweroff)
  assert.equal(await names(), '1:guest')
})

test('a shutdown request is acknowledged by emptying its node', async () => {
  const { libxl } = world()
  await libxl.create(sampleSpec, {})
  const request = libxl.shutdown(1)
  assert.equal(libxl.store.read('/local/domain/1/control/shutdown'), 'poweroff')
  libxl.store.write('/local/domain/1/control/shutdown', '')
  await request
})

test('a request that nobody acknowledges within a minute is withdrawn', async () => {
  const { libxl, host } = world()
  await libxl.create(sampleSpec, {})
  const request = libxl.reboot(1)
  const outcome = assert.rejects(request, refused(-9, /didn't acknowledge control request: -9/))
  await host.pass(60_000)
  await outcome
  assert.equal(libxl.store.read('/local/domain/1/control/shutdown'), '')
})

test('a request to a domain that goes away meanwhile ends', async () => {
  const { libxl } = world()
  await libxl.create(sampleSpec, {})
  const outcome = assert.rejects(libxl.shutdown(1), refused(-3, /is gone/))
  await libxl.destroy(1)
  await outcome
})

test('a domain\'s last words reach whoever is attached, and then the console ends', async () => {
  const { libxl, control } = world()
  await libxl.create(sampleSpec, { paused: true })
  let text = ''
  let closed = 0
  control.print(1, 'before ')
  await libxl.attachConsole(1, {
    output: (bytes) => void (text += new TextDecoder().decode(bytes)), closed: () => closed++,
  })
  await libxl.unpause(1)
  control.print(1, 'while ')
  const words = new Int32Array(control.domain(1).page(0xfefff).buffer)
  control.domain(1).page(0xfefff)[1024 + ((words[771] ?? 0) & 2047)] = 0x21
  words[771] = (words[771] ?? 0) + 1
  control.shutDown(1, SHUTDOWN_poweroff)
  assert.equal(text, 'before while !')
  assert.equal(closed, 1)
})

const expectedTree = `
/local/domain/1 = ""   (n0,r1)
/local/domain/1/attr = ""   (n1)
/local/domain/1/console = ""   (n0,r1)
/local/domain/1/console/backend = "/local/domain/0/backend/console/1/0"   (n0,r1)
/local/domain/1/console/backend-id = "0"   (n1,r0)
/local/domain/1/console/limit = "1048576"   (n0,r1)
/local/domain/1/console/output = "pty"   (n0,r1)
/local/domain/1/console/port = "2"   (n0,r1)
/local/domain/1/console/ring-ref = "1044479"   (n0,r1)
/local/domain/1/console/tty = "/dev/pts/0"   (n0,r1)
/local/domain/1/console/type = "xenconsoled"   (n0,r1)
/local/domain/1/control = ""   (n0,r1)
/local/domain/1/control/feature-poweroff = ""   (n1)
/local/domain/1/control/feature-reboot = ""   (n1)
/local/domain/1/control/feature-suspend = ""   (n1)
/local/domain/1/control/platform-feature-multiprocessor-suspend = "1"   (n0,r1)
/local/domain/1/control/platform-feature-xs_reset_watches = "1"   (n0,r1)
/local/domain/1/control/shutdown = ""   (n1)
/local/domain/1/control/sysrq = ""   (n1)
/local/domain/1/cpu = ""   (n0,r1)
/local/domain/1/cpu/0 = ""   (n0,r1)
/local/domain/1/cpu/0/availability = "online"   (n0,r1)
/local/domain/1/data = ""   (n1)
/local/domain/1/device = ""   (n0,r1)
/local/domain/1/device/suspend = ""   (n0,r1)
/local/domain/1/device/suspend/event-channel = ""   (n1)
/local/domain/1/domid = "1"   (n0,r1)
/local/domain/1/drivers = ""   (n1)
/local/domain/1/error = ""   (n1)
/local/domain/1/feature = ""   (n1)
/local/domain/1/memory = ""   (n0,r1)
/local/domain/1/memory/static-max = "262144"   (n0,r1)
/local/domain/1/memory/target = "262144"   (n0,r1)
/local/domain/1/memory/videoram = "0"   (n0,r1)
/local/domain/1/name = "guest"   (n0,r1)
/local/domain/1/store = ""   (n0,r1)
/local/domain/1/store/port = "1"   (n0,r1)
/local/domain/1/store/ring-ref = "1044476"   (n0,r1)
/local/domain/1/vm = "/vm/8d2371f8-f99e-46ff-a1d1-81c35d9e3911"   (n0,r1)
`.trim().split('\n')
