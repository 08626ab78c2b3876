/**
 * The disks of domains on a hypervisor that keeps books: nodes, images opened and closed, refusals.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
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
    devid: 51712, domid: 1, state: 1, eventChannel: -1, ringRef: -1, backend: BACK,
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
    ['/disk.img,raw,nonsense', /not the name of a device/],
    ['/disk.img,qed,xvda', /format qed: not supported/],
    ['/disk.img,qcow2,xvda', /xvda failed to open/],
    ['iscsi:x,xvda', /script block-iscsi: not supported/],
    ['backend=d,/disk.img,raw,xvda', /driver domain: not supported/],
  ]
  for (const [text, wanted] of wishes) {
    await assert.rejects(libxl.create({ ...spec, disks: [parseDisk(text)] }, {}), wanted)
  }
  const twice = { ...spec, disks: [spec.disks[0]!, parseDisk('/disk.img,raw,51712')] }
  await assert.rejects(libxl.create(twice, {}), /specified twice/)
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
  await assert.rejects(libxl.attachDevice(7, 'disks', again), /No such domain/)
})

test('a guest that does not let a device go keeps it, unless it is forced', async () => {
  const { host, libxl, file } = world()
  await libxl.create(spec, { paused: true })
  const front = '/local/domain/1/device/vbd/51712'
  libxl.store.write(`${front}/ring-ref`, '8')
  libxl.store.write(`${front}/event-channel`, '9')
  libxl.store.write(`${front}/state`, '3')
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
