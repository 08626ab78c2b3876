/**
 * The xenstore tree of a running domain with a disk and a network interface beside that of the same
 * on real Xen 4.17 with Linux's back-ends (golden/xenstore.txt): nodes, values, permissions. Both
 * are read by Debian's xenstore-ls.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const tool = spawnSync('xenstore-ls', ['--help']).error === undefined
const skip = missing || !tool && 'there is no xenstore-ls'

/** Nodes that are there only; for reasons that CAVEATS.md names, if none stands here. */
const NOT_OURS = [
  // xenstore-ls of oxenstored shows its special names.
  '/@introduceDomain', '/@releaseDomain',
  // Linux as Dom0 offers to be shut down, and its QEMU serves other devices.
  '/local/domain/0/control', '/local/domain/0/device-model',
  // There is no device of the host behind an image.
  '/local/domain/0/backend/vbd/1/51712/physical-device',
  '/local/domain/0/backend/vbd/1/51712/physical-device-path',
  // What our netback does not offer, and what netfront says of it then.
  '/local/domain/0/backend/vif/1/0/feature-ctrl-ring',
  '/local/domain/0/backend/vif/1/0/feature-xdp-headroom',
  '/local/domain/1/device/vif/0/xdp-headroom',
  // libxl writes it for PV domains only.
  '/vm/UUID/image',
]
/** Nodes whose values belong to a run, its files, its Dom0 or the type of its domain. */
const OWN_VALUE = [
  'params', 'script', 'libxl/1/type', 'static-max', 'target', 'ring-ref', 'tty', 'event-channel',
  'event-channel-rx', 'event-channel-tx', 'vm', 'xenstored', 'start_time', 'uuid',
  'multi-queue-max-queues',
]

interface Node {
  readonly value: string
  readonly permissions: string
}

function parse(listing: string): Map<string, Node> {
  const nodes = new Map<string, Node>()
  for (const [, path = '', value = '', permissions = ''] of
    listing.matchAll(/^(\/\S*) = "(.*)" +\((\S+)\)$/gm)) {
    nodes.set(path.replace(/^\/vm\/[0-9a-f-]{36}/, '/vm/UUID'), { value, permissions })
  }
  return nodes
}

describe('the store of a domain with devices', { skip }, () => {
  const host = new TestHost()
  const theirs = parse(readFileSync(join(import.meta.dirname, 'golden/xenstore.txt'), 'utf8'))
  let ours: Map<string, Node>

  before(async () => {
    const disk = host.file('disk.img', new Uint8Array(8 * 1024 * 1024))
    const config = host.config('pvguest', {
      ...settings, vcpus: 2, disk: [`${disk},raw,xvda,w`], vif: ['mac=00:16:3e:00:00:01'],
    })
    const shell = await Shell.take(host.start('create', '-c', config))
    await shell.output('until [ -b /dev/xvda ] && ip route | grep -q default; do sleep 0.1; done')
    const { status, stdout, stderr } = spawnSync('xenstore-ls', ['-f', '-p'], {
      env: { ...process.env, XENSTORED_PATH: join(host.folder, 'run', 'xenstored.sock') },
      encoding: 'utf8',
    })
    assert.equal(status, 0, stderr)
    ours = parse(stdout)
  })
  after(() => host.close())

  test('has the nodes that it has on Xen, but for those that are listed', () => {
    const isListed = (path: string): boolean =>
      NOT_OURS.some((missing) => path === missing || path.startsWith(`${missing}/`))
    assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].filter((path) =>
      !isListed(path)).sort())
  })

  test('gives each node the same owner and readers', () => {
    for (const [path, { permissions }] of ours) {
      assert.equal(permissions, theirs.get(path)?.permissions, path)
    }
  })

  test('has the same values where they do not belong to the run', () => {
    for (const [path, { value }] of ours) {
      if (OWN_VALUE.some((name) => path.endsWith(`/${name}`))) continue
      assert.equal(value, theirs.get(path)?.value, path)
    }
  })
})
