/**
 * The disks of domains on a hypervisor that keeps books: nodes, images opened and closed, refusals.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HostFileError } from '../../base/host-file.ts'
import { MemoryFile } from '../../storage/memory-file.ts'
import { formatPermission } from '../../xenstore/permissions.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { parseDisk } from '../config/disk.ts'
import { FakeControl, FakeHost, sampleSpec } from './fake-control.ts'
import { LibxlError } from './libxl.ts'
import { LocalLibxl } from './local-libxl.ts'

const BACK = '/local/domain/0/backend/vbd/1/51712'
const spec = { ...sampleSpec, disks: [parseDisk('/disk.img,raw,xvda,w')] }

class CountedFile extends MemoryFile {
  closed = 0

  override async close(): Promise<void> {
    this.closed++
  }
}

function world() {
  const control = new FakeControl()
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const file = new CountedFile('/disk.img', new Uint8Array(1 << 20))
  host.images.files.files.set('/disk.img', file)
  const libxl = new LocalLibxl(control, new Xenstored(), host)
  return { control, host, libxl, file }
}

function dump(libxl: LocalLibxl, path: string): string[] {
  return libxl.store.directory(path).map((name) => {
    const node = `${path}/${name}`
    const permissions = libxl.store.permissions(node).map(formatPermission).join(',')
    return `${name}=${libxl.store.read(node)} (${permissions})`
  }).sort()
}

/** A front-end writes what it has. */
function connect(libxl: LocalLibxl, front: string): void {
  libxl.store.write(`${front}/ring-ref`, '8')
  libxl.store.write(`${front}/event-channel`, '9')
  libxl.store.write(`${front}/state`, '3')
}

test('a disk\'s nodes are those that libxl and Linux write', async () => {
  const { libxl } = world()
  await libxl.create(spec, { paused: true })
  const back = (values: readonly string[]): string[] =>
    values.map((value) => `${value} (n0,r1)`).sort()
  assert.deepEqual(dump(libxl, BACK), back([
    'bootable=1', 'dev=xvda', 'device-type=disk', 'discard-enable=1',
    'feature-max-indirect-segments=256', 'frontend=/local/domain/1/device/vbd/51712',
    'frontend-id=1', 'hotplug-status=connected', 'max-ring-page-order=4', 'mode=w',
    'multi-queue-max-queues=4', 'online=1', 'params=/disk.img', 'removable=0',
    'script=/etc/xen/scripts/block', 'specification=xen', 'state=2', 'type=phy',
  ]))
  assert.deepEqual(dump(libxl, '/local/domain/1/device/vbd/51712'), [
    `backend-id=0 (n1,r0)`, `backend=${BACK} (n1,r0)`, 'device-type=disk (n1,r0)',
    'state=1 (n1,r0)', 'trusted=1 (n1,r0)', 'virtual-device=51712 (n1,r0)',
  ])
  const record = dump(libxl, '/libxl/1/device/vbd/51712')
  assert.ok(record.includes(`backend=${BACK} (n0)`) && record.includes('state=1 (n0)'))
  assert.deepEqual(await libxl.devices(1, 'disks'), [{
    devid: 51712, backendId: 0, domid: 1, state: 1, eventChannel: -1, ringRef: -1, backend: BACK,
  }])
})

test('a domain that ends gives its image back, and leaves no nodes', async () => {
  const { libxl, file } = world()
  await libxl.create(spec, { paused: true })
  assert.equal(file.closed, 0)
  await libxl.destroy(1)
  assert.equal(file.closed, 1)
  assert.equal(file.flushes, 1)
  assert.equal(libxl.store.read('/local/domain/0/backend'), undefined)
})

test('a domain that cannot be made leaves no image open', async () => {
  const { control, libxl, file } = world()
  control.failAt = 'setMaxMem'
  await assert.rejects(libxl.create(spec, {}), LibxlError)
  await libxl.destroyAll()
  assert.equal(file.closed, 1)
  const bad = { ...spec, disks: [...spec.disks, parseDisk('/none,raw,xvdb')] }
  await assert.rejects(libxl.create(bad, {}), /Disk vdev=xvdb .*No such file/)
  await libxl.destroyAll()
  assert.equal(file.closed, 2)
})

test('disks that are not to be had are refused', async () => {
  const { libxl } = world()
  const wishes: readonly [string, RegExp][] = [
    ['/disk.img,raw,nonsense', /Invalid or unsupported virtual disk identifier nonsense/],
    ['/disk.img,empty,xvda', /xvda is empty but not cdrom/],
    ['backendtype=phy,/disk.img,qcow2,xvda', /no suitable backend for disk xvda/],
    ['/disk.img,qed,xvda', /format qed: not supported/],
    ['/disk.img,qcow2,xvda', /xvda failed to open/],
    ['iscsi:x,xvda', /script block-iscsi: not supported/],
    ['backend=d,/disk.img,raw,xvda', /xvda: no backend domain "d"/],
  ]
  for (const [text, wanted] of wishes) {
    await assert.rejects(libxl.create({ ...spec, disks: [parseDisk(text)] }, {}), wanted)
  }
  const twice = { ...spec, disks: [spec.disks[0]!, parseDisk('/disk.img,raw,51712')] }
  await assert.rejects(libxl.create(twice, {}), /device already exists in xenstore/)
})

test('a domain whose disk no driver domain takes up is not made', async () => {
  const { libxl, host } = world()
  libxl.store.write('/local/domain/7/name', 'driver')
  const disks = [parseDisk('backend=driver,/dev/loop0,raw,xvda')]
  const refused = assert.rejects(libxl.create({ ...spec, disks }, {}),
    /Domain 1:unable to add vbd device 51712: domain 7 does not serve it/)
  for (let i = 0; i < 20; i++) await host.pass(1000)
  await refused
  assert.equal(libxl.domainCount, 0)
  assert.equal(libxl.store.read('/local/domain/7/backend'), undefined)
})

test('a driver domain has the back-end of a disk, and nothing is opened here', async () => {
  const { libxl, file, host } = world()
  libxl.store.write('/local/domain/7/name', 'driver')
  const disks = [parseDisk('backend=driver,/dev/loop0,raw,xvda')]
  const back = '/local/domain/7/backend/vbd/1/51712'
  const created = libxl.create({ ...spec, disks }, { paused: true })
  while (libxl.store.read(`${back}/state`) === undefined) await host.pass(0)
  const nodes = dump(libxl, back)
  libxl.store.write(`${back}/state`, '2')
  await created
  for (const node of ['params=/dev/loop0 (n7,r1)', 'state=1 (n7,r1)', 'type=phy (n7,r1)']) {
    assert.ok(nodes.includes(node), `${node} among ${nodes.join(', ')}`)
  }
  assert.ok(dump(libxl, '/local/domain/1/device/vbd/51712').includes('backend-id=7 (n1,r7)'))
  await assert.rejects(libxl.resizeDisk(1, 'xvda', 4096), /served by domain 7/)
  await libxl.destroy(1)
  assert.equal(libxl.store.read(back), undefined)
  assert.equal(file.closed, 0)
  const qcow2 = [parseDisk('backend=driver,/x,qcow2,xvda')]
  await assert.rejects(libxl.create({ ...spec, disks: qcow2 }, {}), /raw disks only/)
})

test('disks are attached and detached, and the domain comes again with what it has', async () => {
  const { host, libxl } = world()
  host.images.files.files.set('/more.img', new MemoryFile('/more.img', new Uint8Array(512)))
  await libxl.create(spec, { paused: true })
  await libxl.attachDevice(1, 'disks', parseDisk('/more.img,raw,xvdb,r'))
  assert.deepEqual((await libxl.devices(1, 'disks')).map(({ devid }) => devid), [51712, 51728])
  assert.equal((await libxl.spec(1))?.disks?.length, 2)
  const again = parseDisk('/disk.img,raw,xvdb')
  await assert.rejects(libxl.attachDevice(1, 'disks', again), /already exists/)
  // Nobody has the device yet, so it goes at once.
  await libxl.detachDevice(1, 'disks', 'xvda', false)
  assert.deepEqual((await libxl.devices(1, 'disks')).map(({ devid }) => devid), [51728])
  assert.equal((await libxl.spec(1))?.disks?.[0]?.vdev, 'xvdb')
  assert.equal(await libxl.detachDevice(1, 'disks', 'xvda', false), undefined)
  await assert.rejects(libxl.attachDevice(7, 'disks', again), /unable to get domain type/)
})

test('a guest that does not let a device go keeps it, unless it is forced', async () => {
  const { host, libxl, file } = world()
  await libxl.create(spec, { paused: true })
  const front = '/local/domain/1/device/vbd/51712'
  connect(libxl, front)
  assert.equal(libxl.store.read(`${BACK}/state`), '4')
  libxl.store.write(`${front}/state`, '4')
  const refused = assert.rejects(
    libxl.detachDevice(1, 'disks', 'xvda', false), /Unable to remove vbd/)
  await host.pass(10_000)
  await refused
  assert.equal((await libxl.devices(1, 'disks')).length, 1)
  await libxl.detachDevice(1, 'disks', 'xvda', true)
  assert.equal((await libxl.devices(1, 'disks')).length, 0)
  assert.equal(file.closed, 1)
})

test('a disk becomes larger, and not smaller', async () => {
  const { libxl, file } = world()
  await libxl.create(spec, { paused: true })
  await libxl.resizeDisk(1, 'xvda', 2 << 20)
  assert.equal(file.sizeBytes, 2 << 20)
  await assert.rejects(libxl.resizeDisk(1, 'xvda', 1 << 20), /only become larger/)
  file.isFull = () => true
  await assert.rejects(libxl.resizeDisk(1, 'xvda', 4 << 20), /full/)
})

test('an image that one guest writes to is refused to others in the block script\'s words',
  async () => {
    const { host, libxl } = world()
    const files = host.images.files
    const open = files.open.bind(files)
    const taken = new Set<string>()
    files.open = async (path: string) => {
      if (taken.has(path)) throw new HostFileError('locked', `${path}: in use by this process`)
      taken.add(path)
      return open(path)
    }
    await libxl.create(spec, { paused: true })
    const refused = (disk: string, message: string): Promise<void> =>
      assert.rejects(libxl.attachDevice(1, 'disks', parseDisk(disk)), { message })
    await refused('/disk.img,raw,xvdb,w', 'script: File /disk.img is mounted in a guest domain, ' +
      'and so cannot be mounted now.\nDomain 1:Unable to add vbd with id 51728')
    await refused('/disk.img,raw,xvdb,r', 'script: File /disk.img is mounted read-write in a ' +
      'guest domain, and so cannot be mounted read-only now.\n' +
      'Domain 1:Unable to add vbd with id 51728')
    await assert.rejects(libxl.create({ ...spec, name: 'other' }, {}),
      /mounted in a guest domain.*\nunable to add disk devices$/)
  })

test('a drive is empty, has a medium put in, changed and taken out', async () => {
  const { host, libxl } = world()
  const medium = new CountedFile('/cd.iso', new Uint8Array(1 << 20))
  host.images.files.files.set('/cd.iso', medium)
  await libxl.create({ ...spec, disks: [parseDisk(',empty,hdc:cdrom,r')] }, { paused: true })
  const back = '/local/domain/0/backend/qdisk/1/5632'
  const front = '/local/domain/1/device/vbd/5632'
  const said = (name: string): string | undefined => libxl.store.read(`${back}/${name}`)
  connect(libxl, front)
  assert.deepEqual([said('state'), said('sectors'), said('params'), said('info')],
    ['4', '0', '', '7'])
  await libxl.insertMedium(1, 'hdc', '/cd.iso')
  assert.deepEqual([said('sectors'), said('params')], ['2048', 'aio:/cd.iso'])
  assert.equal((await libxl.spec(1))?.disks?.[0]?.path, '/cd.iso')
  await libxl.insertMedium(1, 'hdc', '/disk.img')
  assert.deepEqual([said('params'), medium.closed], ['aio:/disk.img', 1])
  await assert.rejects(libxl.insertMedium(1, 'hdc', '/none.iso'), /failed to stat: .*No such file/)
  assert.deepEqual([said('sectors'), said('params')], ['0', ''])
  await libxl.insertMedium(1, 'hdc', undefined)
  assert.equal((await libxl.spec(1))?.disks?.[0]?.format, 'empty')
  await assert.rejects(libxl.insertMedium(1, 'xvda', '/cd.iso'), /Virtual device not found/)
})

test('a disk may have sectors of 4096 bytes, if it has whole ones', async () => {
  const { host, libxl } = world()
  host.images.files.files.set('/odd.img', new MemoryFile('/odd.img', new Uint8Array(512)))
  const odd = { ...spec, disks: [parseDisk('sector-size=4096,/odd.img,,xvda')] }
  await assert.rejects(libxl.create(odd, {}), /has 512 bytes, which are not sectors of 4096/)
  const disks = [parseDisk('sector-size=4096,/disk.img,raw,xvda')]
  const domid = await libxl.create({ ...spec, disks }, { paused: true })
  const front = `/local/domain/${domid}/device/vbd/51712`
  connect(libxl, front)
  const back = `/local/domain/0/backend/vbd/${domid}/51712`
  assert.deepEqual(['sectors', 'sector-size', 'physical-sector-size'].map((name) =>
    libxl.store.read(`${back}/${name}`)), ['2048', '4096', '4096'])
  await assert.rejects(libxl.resizeDisk(domid, 'xvda', (1 << 20) + 512), /in sectors of 4096/)
})

test('a boot loader that finds nothing lets the disk go', async () => {
  const { libxl, file } = world()
  const { kernel: _, ...bare } = spec
  const loaded = { ...bare, bootloader: '/usr/lib/xen/bin/pygrub' }
  await assert.rejects(libxl.create(loaded, {}), /pygrub: no configuration of a boot loader/)
  assert.equal(file.closed, 1)
  await assert.rejects(libxl.create({ ...loaded, disks: [] }, {}),
    /cannot run bootloader with no boot disk\ncannot \(re-\)build domain: -3/)
  await assert.rejects(libxl.create({ ...loaded, bootloaderArgs: ['--menu'] }, {}),
    /pygrub: unknown option/)
  await assert.rejects(libxl.create({ ...loaded, bootloader: 'grub' }, {}),
    /cannot execute grub: pygrub and pvnetboot are known/)
  assert.equal(file.closed, 3)
})
