/**
 * A driver domain: Linux's own netback and blkback in one guest serve another guest's network
 * interface and disk (`backend=`). Its end hurts only its clients, and the next one serves them
 * again.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { writeCpio } from '../../src/toolstack/build/cpio.ts'
import { debianRoot } from '../guests/debian-root.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const root = debianRoot()
const cloud = await debian('cloud')
const BULK = 2_000_000
const DISK_BYTES = 8 * 1024 * 1024
const XS_WRITE = 11

/** Takes a file out of the Debian system's image. */
function fileOf(path: string, target: string): Uint8Array {
  const debugfs = (command: string): string => spawnSync('debugfs', ['-R', command, root.image], {
    encoding: 'utf8', env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  }).stdout
  const release = /\/(\d[^/]*-amd64)\//.exec(debugfs('ls -p /usr/lib/modules'))?.[1]
  debugfs(`dump /usr/lib/modules/${release}/${path} ${target}`)
  return readFileSync(target)
}

/** Has a guest write a node of its own in the store, as a hotplug script does. */
function storeWrite(path: string, value: string): string {
  const payload = Buffer.from(`${path}\0${value}`)
  const header = new Uint8Array(Uint32Array.of(XS_WRITE, 0, 0, payload.length).buffer)
  const octal = [...header, ...payload].map((byte) => `\\\\0${byte.toString(8)}`).join('')
  return `exec 3<>/dev/xen/xenbus; printf %b "${octal}" >&3; ` +
    'dd bs=16 count=1 <&3 2>/dev/null | od -An -tu4; exec 3<&-'
}

describe('a driver domain', { skip: root.missing || cloud.missing }, () => {
  const host = new TestHost()
  const disk = join(host.folder, 'disk.img')
  let driver: Shell
  let client: Shell
  let other: Shell

  /** Boots a driver domain and waits until netback is there. */
  async function startDriver(): Promise<Shell> {
    const ramdisk = join(host.folder, 'driver.initrd')
    const shell = await Shell.take(host.start('create', '-c', host.config('driver', {
      ...cloud.settings, kernel: root.kernel, ramdisk, memory: 192, disk: [`${disk},raw,xvda,w`],
    })))
    await shell.output('insmod /lib/xen-netback.ko; insmod /lib/xen-blkback.ko')
    return shell
  }

  /** Does for the client's interface what the driver domain's hotplug script would. */
  async function plug(domid: string, devid: number): Promise<void> {
    const name = `vif${domid}.${devid}`
    await driver.output(`until ip link show ${name} >/dev/null 2>&1; do sleep 0.1; done; ` +
      `ip addr add 192.168.7.1/24 dev ${name}; ip link set ${name} up`)
    const reply = await driver.output(
      storeWrite(`backend/vif/${domid}/${devid}/hotplug-status`, 'connected'))
    assert.match(reply, /^ +11 +0 +0 +3$/m)
  }

  /** Gives the client the driver domain's disk. */
  async function attachDisk(): Promise<void> {
    const attached = await host.xl('block-attach', 'client', 'backend=driver,/dev/xvda,raw,xvdb,w')
    assert.deepEqual([attached.code, attached.err], [0, ''])
    const [domid = ''] = (await host.xl('domid', 'client')).out.trim().split('\n')
    // What Xen's block script finds out: the numbers of /dev/xvda.
    await driver.output(storeWrite(`backend/vbd/${domid}/51728/physical-device`, 'ca:0'))
    await client.output('until [ -b /dev/xvdb ]; do sleep 0.1; done')
  }

  async function useInterface(name: string): Promise<void> {
    await client.output(`ip addr add 192.168.7.2/24 dev ${name}; ip link set ${name} up`)
    await client.output('for i in $(seq 100); do ping -c 1 -W 1 192.168.7.1 && break; done')
  }

  before(async () => {
    const modules = ['net/xen-netback/xen-netback.ko', 'block/xen-blkback/xen-blkback.ko']
    host.file('driver.initrd', Buffer.concat([
      readFileSync(String(cloud.settings['ramdisk'])),
      writeCpio(modules.map((path) => {
        const name = basename(path)
        const content = fileOf(`kernel/drivers/${path}`, join(host.folder, name))
        return { kind: 'file', path: `lib/${name}`, mode: 0o644, content }
      })),
    ]))
    host.file('disk.img', new Uint8Array(DISK_BYTES))
    driver = await startDriver()
    const config = (name: string, vif: string) =>
      host.config(name, { ...cloud.settings, memory: 128, vif: [vif] })
    client = await Shell.take(host.start('create', '-c', config('client', 'backend=driver')))
    other = await Shell.take(host.start('create', '-c', config('other', 'ip=10.0.2.40')))
  })
  after(() => host.close())

  test('serves an interface of another guest', async () => {
    const [domid = ''] = (await host.xl('domid', 'client')).out.trim().split('\n')
    await plug(domid, 0)
    await useInterface('eth0')
    const { out } = await host.xl('network-list', 'client')
    const [driverId = ''] = (await host.xl('domid', 'driver')).out.trim().split('\n')
    assert.match(out, new RegExp(`^0   ${driverId} .* 4 .*/${driverId}/backend/vif/`, 'm'))
  })

  test('passes bulk data on unchanged, both ways', async () => {
    const receive = (file: string): string =>
      `(nc -l -p 5000 | tee ${file} | md5sum >/tmp/sum; touch /tmp/done) &`
    // Whoever receives may not listen yet.
    const send = (to: string, file: string): string =>
      `until nc ${to} 5000 <${file}; do sleep 0.1; done`
    await driver.output(receive('/tmp/got'))
    const sent = await client.output(`head -c ${BULK} /dev/urandom >/tmp/bulk; ` +
      `md5sum </tmp/bulk; ${send('192.168.7.1', '/tmp/bulk')}`)
    assert.equal(await driver.output('until [ -e /tmp/done ]; do sleep 0.1; done; cat /tmp/sum'),
      sent)
    await client.output(receive('/dev/null'))
    await driver.output(send('192.168.7.2', '/tmp/got'))
    assert.equal(await client.output('until [ -e /tmp/done ]; do sleep 0.1; done; cat /tmp/sum'),
      sent)
  })

  test('serves a disk of another guest with one of its own', async () => {
    await attachDisk()
    const sum = await client.output(`dd if=/tmp/bulk of=/dev/xvdb bs=64k conv=fsync 2>/dev/null; ` +
      `md5sum </tmp/bulk; head -c ${BULK} /dev/xvdb | md5sum`)
    const written = createHash('md5').update(readFileSync(disk).subarray(0, BULK)).digest('hex')
    assert.equal(sum, `${written}  -\n`.repeat(2))
    assert.equal((await host.xl('block-detach', 'client', 'xvdb')).code, 0)
    await client.output('until ! [ -e /dev/xvdb ]; do sleep 0.1; done')
    await attachDisk()
  })

  test('hurts nobody but its clients\' devices by its end', async () => {
    assert.equal((await host.xl('destroy', 'driver')).code, 0)
    assert.notEqual((await client.run('ping -c 1 -W 2 192.168.7.1')).status, 0)
    await other.output('ping -c 1 10.0.2.2')
    assert.equal((await host.xl('network-detach', 'client', '0')).code, 0)
    assert.doesNotMatch((await host.xl('network-list', 'client')).out, /^0 /m)
    assert.equal((await host.xl('block-detach', 'client', 'xvdb')).code, 0)
    assert.doesNotMatch((await host.xl('block-list', 'client')).out, /^51728 /m)
    await client.output('until ! [ -e /dev/xvdb ]; do sleep 0.1; done')
  })

  test('serves them again when it is started anew', async () => {
    driver = await startDriver()
    assert.equal((await host.xl('network-attach', 'client', 'backend=driver')).code, 0)
    const [domid = ''] = (await host.xl('domid', 'client')).out.trim().split('\n')
    await plug(domid, 0)
    await client.output('until ip link show eth0 >/dev/null 2>&1 || ip link show eth1 ' +
      '>/dev/null 2>&1; do sleep 0.1; done')
    const name = (await client.output('ls /sys/class/net | grep eth')).trim().split('\n').at(-1)
    await useInterface(name ?? '')
    await attachDisk()
    const sum = await client.output(`md5sum </tmp/bulk; head -c ${BULK} /dev/xvdb | md5sum`)
    assert.match(sum, /^(\w+) {2}-\n\1 {2}-\n$/)
  })

  test('hurts only who waits for its answer by an end with requests under way', async () => {
    await client.output('echo 3 >/proc/sys/vm/drop_caches')
    // Its vcpu is held, so that what is asked stays without an answer.
    assert.equal((await host.xl('pause', 'driver')).code, 0)
    await client.output('(head -c 4096 /dev/xvdb >/dev/null; touch /tmp/read) &')
    await client.output('sleep 1')
    assert.equal((await host.xl('destroy', 'driver')).code, 0)
    assert.equal(await client.output('sleep 1; [ -e /tmp/read ] || echo waits'), 'waits\n')
    await other.output('ping -c 1 10.0.2.2')
    assert.equal((await host.xl('block-detach', 'client', 'xvdb')).code, 0)
    assert.doesNotMatch((await host.xl('block-list', 'client')).out, /^51728 /m)
    assert.equal((await host.xl('destroy', 'client')).code, 0)
    assert.deepEqual(await host.domains(), ['other'])
  })
})
