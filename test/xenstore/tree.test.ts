/**
 * The tree of a running domain beside the one that real libxl 4.17 wrote (transcripts/tree.txt).
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { sampleElf } from '../../src/toolstack/build/sample-kernel.ts'
import { FakeControl, FakeHost, sampleSpec } from '../../src/toolstack/domain/fake-control.ts'
import { LocalLibxl } from '../../src/toolstack/domain/local-libxl.ts'
import { formatPermission } from '../../src/xenstore/permissions.ts'
import { Xenstored } from '../../src/xenstore/xenstored.ts'

const UUID = '339cf824-4fc4-4b9b-86f3-c4df8c135384'

interface Entry {
  readonly value: string
  readonly permissions: string
}

/** Nodes whose values belong to one run, to the guest's driver or to the kind of the domain. */
const OWN_VALUE = new RegExp(`^/(${[
  'local/domain/1/(store|console)/(port|ring-ref|tty)', 'local/domain/1/control/feature-.*',
  'vm/[^/]+/start_time', 'libxl/1/type',
].join('|')})$`)

/** Written by the Linux that is Dom0 there: our control domain has no kernel to shut down. */
const OF_DOM0_LINUX = /^\/local\/domain\/0\/control/

/** Xen's libxl writes these when somebody first asks for Dom0's memory, ours at the start. */
const OF_DOM0_MEMORY = /^\/local\/domain\/0\/memory/

/** The guest there is PV: libxl writes these for no PVH domain. */
const OF_PV = /^\/vm\/[^/]+\/image/

/** What Xen's tree has of its second guest. */
const OF_OTHERS =
  /^\/(local\/domain\/(2|0\/backend\/console\/2)|libxl\/2|vm\/(?!339cf824))/

function recorded(): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  const text = readFileSync(join(import.meta.dirname, 'transcripts/tree.txt'), 'utf8')
  for (const [, path = '', value = '', permissions = ''] of
    text.matchAll(/^(\/\S*) = "(.*)" +\((\S+)\)$/gm)) {
    if ([OF_DOM0_LINUX, OF_PV, OF_OTHERS].some((others) => others.test(path))) continue
    entries.set(path, { value, permissions })
  }
  return entries
}

async function ours(): Promise<Map<string, Entry>> {
  const host = new FakeHost()
  host.files.set('/guest/vmlinuz', sampleElf())
  host.files.set('/in/gi.gz', new Uint8Array(512))
  const { store } = await started(host)
  const entries = new Map<string, Entry>()
  const walk = (path: string): void => {
    for (const name of store.directory(path)) {
      const below = `${path === '/' ? '' : path}/${name}`
      if (!OF_DOM0_MEMORY.test(below)) entries.set(below, { value: store.read(below) ?? '',
        permissions: store.permissions(below).map(formatPermission).join(',') })
      walk(below)
    }
  }
  walk('/')
  return entries
}

async function started(host: FakeHost): Promise<LocalLibxl> {
  const libxl = new LocalLibxl(new FakeControl(), new Xenstored(), host)
  await libxl.create({
    ...sampleSpec, name: 'one', uuid: UUID, kernel: '/guest/vmlinuz', ramdisk: '/in/gi.gz',
    commandLine: 'console=hvc0 quiet loglevel=0 who=1', memoryKib: 131072, maxMemoryKib: 131072,
  }, {})
  return libxl
}

test('a domain has the nodes, owners and permissions that libxl gives it', async () => {
  const [theirs, mine] = [recorded(), await ours()]
  assert.deepEqual([...mine.keys()].sort(), [...theirs.keys()].sort())
  for (const [path, { value, permissions }] of theirs) {
    const entry = mine.get(path)
    assert.equal(entry?.permissions, permissions, path)
    if (!OWN_VALUE.test(path)) assert.equal(entry?.value, value, path)
  }
})
