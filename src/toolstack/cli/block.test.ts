/**
 * The subcommands for block devices, as real xl 4.17 answers them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryFile } from '../../storage/memory-file.ts'
import { expectXl, xl } from './fake-world.ts'

const HEADER = '>Vdev  BE  handle state evt-ch ring-ref BE-path                       '

async function world() {
  const machine = xl()
  machine.files.set('a.cfg', `${machine.files.get('a.cfg')}disk=["/d.img,raw,xvda,w"]\n`)
  for (const name of ['/d.img', '/e.img']) {
    machine.host.images.files.files.set(name, new MemoryFile(name, new Uint8Array(1 << 20)))
  }
  const created = await machine.run('create a.cfg')
  assert.equal(created.code, 0, created.err)
  return machine
}

test('block-list shows each device, and passes over domains that are not there', async () => {
  const { run } = await world()
  const row = '>51712 0   1      1     -1     -1       /local/domain/0/backend/vbd/1/51712'
  await expectXl(run, 'block-list pvh', 0, HEADER, row)
  await expectXl(run, 'block-list 99 pvh nosuch', 0,
    '!nosuch is an invalid domain identifier', HEADER, row)
})

test('block-attach says what xl says of what cannot be attached', async () => {
  const { run } = await world()
  const failed = '!libxl_device_disk_add failed.'
  const early = '!libxl: error: unable to add device'
  await expectXl(run, 'block-attach pvh /e.img raw xvdb r', 0)
  await expectXl(run, 'block-attach nosuch /e.img,raw,xvdc', 1,
    '!nosuch is an invalid domain identifier')
  await expectXl(run, 'block-attach 99 /e.img,raw,xvdc', 1,
    '!libxl: error: unable to get domain type for domid=99', early, failed)
  await expectXl(run, 'block-attach pvh /nonexistent,raw,xvdc', 1,
    '!libxl: error: Disk vdev=xvdc failed to stat: /nonexistent: No such file or directory',
    early, failed)
  await expectXl(run, 'block-attach pvh /e.img,raw,xvda', 1,
    '!libxl: error: Domain 1:device already exists in xenstore', early, failed)
  await expectXl(run, 'block-attach pvh /e.img,raw,zzz', 1,
    '!libxl: error: Domain 1:Invalid or unsupported virtual disk identifier zzz', early, failed)
  await expectXl(run, 'block-attach pvh /e.img,foo,xvdc', 1,
    '!command line: config parsing error in disk specification: unknown value for format: ' +
    'near `foo\' in `/e.img,foo,xvdc\'')
})

test('block-detach names what is not connected', async () => {
  const { run } = await world()
  const missing = (domid: number, devid: number): string =>
    `!libxl: error: disk /libxl/${domid}/device/vbd/${devid} does not exist (no backend path`
  await expectXl(run, 'block-detach pvh xvdz', 1, missing(1, 268441856),
    '!Error: Device xvdz not connected.')
  await expectXl(run, 'block-detach 99 xvda', 1, missing(99, 51712),
    '!Error: Device xvda not connected.')
  await expectXl(run, 'block-detach pvh nonsense', 1, '!Error: Device nonsense not connected.')
  await expectXl(run, 'block-detach pvh 51712', 0)
  await expectXl(run, 'block-list pvh', 0, HEADER)
})

test('cd-insert and cd-eject change what is in a drive', async () => {
  const { run, libxl } = await world()
  await expectXl(run, 'cd-insert pvh hdc /e.img', 1,
    '!libxl: error: Domain 1:Virtual device not found')
  await expectXl(run, 'block-attach pvh vdev=hdc,cdrom', 0)
  await expectXl(run, 'cd-insert pvh hdc /e.img', 0)
  const params = (): string | undefined =>
    libxl.store.read('/local/domain/0/backend/qdisk/1/5632/params')
  assert.equal(params(), 'aio:/e.img')
  await expectXl(run, 'cd-eject pvh hdc', 0)
  assert.equal(params(), '')
  await expectXl(run, 'cd-insert nosuch hdc /x', 1,
    '!nosuch is an invalid domain identifier (rc=-6)')
})

test('a dry run prints the disk as libxl has it', async () => {
  const { run } = await world()
  await expectXl(run, '-N block-attach 0 /x,raw,hdc,cdrom', 0,
    '>disk: {', '>    "pdev_path": "/x",', '>    "vdev": "hdc",', '>    "format": "raw",',
    '>    "removable": 1,', '>    "is_cdrom": 1', '>}', '>')
})
