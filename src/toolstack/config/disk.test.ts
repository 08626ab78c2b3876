/**
 * Disk specifications, as real xl 4.17 reads them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diskNumber, type DiskSpec, parseDisk } from './disk.ts'

const plain: DiskSpec = {
  path: '/x', vdev: 'xvda', format: 'raw', writable: true, removable: false, isCdrom: false,
  directIoSafe: false,
}
const cdrom = { writable: false, removable: true, isCdrom: true }

const good: readonly [string, DiskSpec][] = [
  ['/x,,xvda', plain],
  ['/x,raw,xvda,rw', plain],
  ['format=raw, vdev=xvda, access=rw, target=/x', plain],
  ['raw:/x,xvda,w', plain],
  ['file:/x,xvda,r', { ...plain, writable: false }],
  ['phy:sda,xvdb,w', { ...plain, path: 'sda', vdev: 'xvdb' }],
  ['tap2:vhd:/x,xvda,w', { ...plain, format: 'vhd' }],
  ['tap:aio:/x,xvda,w', plain],
  ['tap:qcow2:/x,xvda,w', { ...plain, format: 'qcow2' }],
  ['/x,,hdc,cdrom', { ...plain, vdev: 'hdc', ...cdrom }],
  ['/x,,hdc,,cdrom', { ...plain, vdev: 'hdc', ...cdrom }],
  ['/x,raw,hdc,devtype=cdrom', { ...plain, vdev: 'hdc', ...cdrom }],
  ['raw:/x,hdc:cdrom,ro', { ...plain, vdev: 'hdc', ...cdrom }],
  [',empty,hdc:cdrom,r', { ...plain, path: '', vdev: 'hdc', format: 'empty', ...cdrom }],
  ['backendtype=qdisk,vdev=xvda,format=qcow2,target=/a,b.img',
    { ...plain, path: '/a,b.img', format: 'qcow2', backend: 'qdisk' }],
  ['iscsi:iqn,xvda,w', { ...plain, path: 'iqn', script: 'block-iscsi' }],
  ['script=block-x,/x,raw,xvda', { ...plain, script: 'block-x' }],
  ['/x,raw,xvda,w,discard,direct-io-safe', { ...plain, discard: true, directIoSafe: true }],
  ['/x,raw,xvda,w,no-discard', { ...plain, discard: false }],
  ['backend=drv,/x,raw,xvda', { ...plain, backendDomain: 'drv' }],
  ['vdev=hdc,format=empty,cdrom',
    { vdev: 'hdc', format: 'empty', directIoSafe: false, ...cdrom }],
  [',,hdc,cdrom', { ...plain, path: '', vdev: 'hdc', format: 'empty', ...cdrom }],
  [',raw,hdc', { ...plain, path: '', vdev: 'hdc' }],
  ['/x,raw,hdc,cdrom,devtype=disk', { ...plain, vdev: 'hdc' }],
  ['access=w,access=r,vdev=xvda,target=/x', { ...plain, writable: false }],
  ['C:/x,raw,xvda', { ...plain, path: 'C:/x' }],
  ['ioemu:/x,xvda,w', plain],
  ['/x,raw,xvda,w,', plain],
  ['specification=virtio,/x,raw,xvda', { ...plain, specification: 'virtio' }],
  ['sector-size=4096,/x,raw,xvda', { ...plain, sectorBytes: 4096 }],
]

for (const [text, wanted] of good) {
  test(`${text} is understood`, () => assert.deepEqual(parseDisk(text), wanted))
}

const bad: readonly [string, string][] = [
  ['/x,foo,xvda', 'unknown value for format: near `foo\' in `/x,foo,xvda\''],
  ['/x,raw,xvda,q', 'unknown value for access: near `q\' in `/x,raw,xvda,q\''],
  ['/x,raw,xvda,w,extra',
    'too many positional parameters: near `extra\' in `/x,raw,xvda,w,extra\''],
  ['/x,raw,hdc:floppy', 'unknown deprecated type: near `floppy\' in `/x,raw,hdc:floppy\''],
  ['/x,raw,xvda,!r', 'unknown value for access: near `!r\' in `/x,raw,xvda,!r\''],
  ['/x,vhdx,xvda', 'unknown value for format: near `vhdx\' in `/x,vhdx,xvda\''],
  ['/x,aio,xvda', 'unknown value for format: near `aio\' in `/x,aio,xvda\''],
  ['/x , raw , xvda , w', 'unknown value for format: near `raw \' in `/x , raw , xvda , w\''],
  ['backendtype=foo,/x,raw,xvda',
    'unknown value for backendtype: near `foo\' in `backendtype=foo,/x,raw,xvda\''],
  ['/x,raw,xvda,w,vdev=xvdb', 'vdev respecified: near `xvdb\' in `/x,raw,xvda,w,vdev=xvdb\''],
  ['/x,raw,xvda,access=w,format=raw',
    'format respecified: near `raw\' in `/x,raw,xvda,access=w,format=raw\''],
  ['format=raw,format=qcow2,vdev=xvda,target=/x', 'format respecified: near `qcow2\' in ' +
    '`format=raw,format=qcow2,vdev=xvda,target=/x\''],
  ['trusted=0,/x,raw,xvda', 'unknown parameter: near `trusted=0,\' in `trusted=0,/x,raw,xvda\''],
  ['removable,/x,raw,xvda',
    'unknown value for format: near `/x\' in `removable,/x,raw,xvda\''],
  ['target=/x,raw,xvda,w', 'no vdev specified in `target=/x,raw,xvda,w\''],
  ['vdev=xvda,format=empty',
    'no target specified (and device not removable) in `vdev=xvda,format=empty\''],
  ['sector-size=1k,/x,raw,xvda',
    'unknown value for sector-size: near `1k\' in `sector-size=1k,/x,raw,xvda\''],
  ['/x', 'no vdev specified in `/x\''],
  ['vdev=xvda', 'no target specified (and device not removable) in `vdev=xvda\''],
  ['bogus=1,/x,raw,xvda', 'unknown parameter: near `bogus=1,\' in `bogus=1,/x,raw,xvda\''],
  ['nosuch:/x,xvda,w', 'unknown deprecated disk prefix: near `nosuch:\' in `nosuch:/x,xvda,w\''],
  ['/x,raw,xvda,rw,devtype=floppy',
    'unknown value for type: near `devtype=floppy\' in `/x,raw,xvda,rw,devtype=floppy\''],
]

for (const [text, wanted] of bad) {
  test(`${text} is refused in xl's words`, () => {
    const message = `config parsing error in disk specification: ${wanted}`
    assert.throws(() => parseDisk(text), { name: 'DiskSpecError', message })
  })
}

test('names of devices are numbers', () => {
  const numbers: readonly [string, number | undefined][] = [
    ['xvda', 51712], ['xvdb', 51728], ['xvda1', 51713], ['xvdp15', 51967], ['xvdq', 268439552],
    ['xvda16', 0x1000_0010], ['xvdz', 268441856], ['d0', 51712], ['d0p1', 51713],
    ['d16', 0x1000_1000], ['hda', 768], ['hdb1', 833], ['hdc', 5632], ['hdd', 5696],
    ['hde', undefined],
    ['sda', 2048], ['sdb15', 2079], ['sdq', undefined], ['51728', 51728], ['0xca10', 51728],
    ['zzz', undefined], ['xvd', undefined], ['d0p256', undefined], ['xvdaaaaaa', undefined],
  ]
  for (const [name, wanted] of numbers) assert.equal(diskNumber(name), wanted, name)
})
