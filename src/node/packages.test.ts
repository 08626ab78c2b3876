/**
 * Fetching with a fake apt on the PATH: what is asked, what is kept, what is said when it fails.
 */
import assert from 'node:assert/strict'
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { cacheFolder } from './cache.ts'
import { ensureGuest, type GuestRequest } from './guest-files.ts'
import { PackageError, packageInfoOf, requireTools } from './packages.ts'

let folder = ''
const path = process.env['PATH']

/** A program on the PATH; it also notes its name and arguments in the file `calls`. */
function fake(name: string, script: string): void {
  const file = join(folder, 'bin', name)
  writeFileSync(file, `#!/bin/sh\necho "${name} $*" >>'${folder}/calls'\n${script}\n`)
  chmodSync(file, 0o755)
}

function calls(): string[] {
  const file = join(folder, 'calls')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xenolith-packages-'))
  mkdirSync(join(folder, 'bin'))
  process.env['PATH'] = `${join(folder, 'bin')}:${path}`
  // `apt-get -c CONFIG update` makes lists beside CONFIG; `download NAME` makes a .deb here.
  fake('apt-get', `if [ "$3" = update ]; then touch "$(dirname "$2")/state/lists/x_Packages"
    else echo "content of $4" >"$4_1_amd64.deb"; fi`)
  fake('apt-cache', `case "$5" in
    linux-image-cloud-amd64) echo "Package: $5"; echo "Version: 2"
      echo "Depends: linux-image-2-cloud-amd64 (= 2)";;
    linux-image-2-cloud-amd64|busybox-static) echo "Package: $5"; echo "Version: 2"
      echo "Size: 1000000"; echo "Depends: kmod, linux-base (>= 4.3~), a | b";;
    *) exit 100;;
  esac`)
  fake('dpkg-deb', `drivers=lib/modules/2/kernel/drivers; cd '${folder}'
    mkdir -p t/boot t/usr/bin t/$drivers/net t/$drivers/block; cd t
    echo kernel >boot/vmlinuz-2; echo busybox >usr/bin/busybox
    echo net >$drivers/net/xen-netfront.ko; echo block >$drivers/block/xen-blkfront.ko
    tar -c .`)
})

afterEach(() => {
  process.env['PATH'] = path
  rmSync(folder, { recursive: true, force: true })
})

function request(more: Partial<GuestRequest> = {}): GuestRequest {
  return {
    kind: 'cloud', cache: join(folder, 'cache'), progress: () => {}, own: {},
    buildInitrd: (busybox, modules) =>
      Buffer.concat([busybox, ...modules.map(({ content }) => content), Buffer.from('!')]),
    ...more,
  }
}

test('the kernel behind the meta package is fetched, and busybox made an initramfs', async () => {
  const steps: string[] = []
  const files = await ensureGuest(request({ progress: (step) => steps.push(step) }))
  assert.equal(readFileSync(files.kernel, 'utf8'), 'kernel\n')
  assert.match(files.kernel, /vmlinuz-2-cloud-amd64$/)
  assert.equal(readFileSync(files.initrd, 'utf8'), 'busybox\nnet\nblock\n!')
  assert.deepEqual(steps, [
    'Reading the package lists (apt-get update, in a folder of our own) ...',
    'Fetching linux-image-2-cloud-amd64 2 (1.0 MB) ...',
    ...Array<string>(3).fill('Unpacking linux-image-2-cloud-amd64 ...'),
    'Fetching busybox-static 2 (1.0 MB) ...',
    'Unpacking busybox-static ...',
  ])
  assert.equal(calls().filter((call) => / update$/.test(call)).length, 1)
  assert.deepEqual(readdirSync(join(folder, 'cache')), ['guest'])
})

test('a second time nothing is fetched', async () => {
  await ensureGuest(request())
  rmSync(join(folder, 'calls'))
  await ensureGuest(request())
  assert.deepEqual(calls(), [])
})

test('a kernel whose package has no PV drivers does without, and is not fetched again',
  async () => {
    fake('dpkg-deb', `mkdir -p '${folder}/t/boot' '${folder}/t/usr/bin'; cd '${folder}/t'
      echo kernel >boot/vmlinuz-2; echo busybox >usr/bin/busybox; tar -c .`)
    for (let i = 0; i < 2; i++) {
      const files = await ensureGuest(request())
      assert.equal(readFileSync(files.initrd, 'utf8'), 'busybox\n!')
      assert.equal(calls().filter((call) => /download linux-image/.test(call)).length, 1)
    }
  })

test('files of one\'s own are not fetched', async () => {
  const own = { kernel: '/my/vmlinuz', initrd: '/my/initrd' }
  assert.deepEqual(await ensureGuest(request({ own })), own)
  assert.deepEqual(calls(), [])
})

test('a failed download tells what apt said, and leaves no file behind', async () => {
  fake('apt-get', `if [ "$3" = update ]; then touch "$(dirname "$2")/state/lists/x_Packages"
    else echo 'E: no route to host' >&2; exit 100; fi`)
  await assert.rejects(ensureGuest(request()), {
    name: 'PackageError',
    message: 'apt-get could not download linux-image-2-cloud-amd64:\nE: no route to host',
  })
  assert.deepEqual(readdirSync(join(folder, 'cache', 'guest')), [])
})

test('an update that brings no lists is an error, one that merely grumbles is not', async () => {
  fake('apt-get', 'echo "E: no network" >&2; exit 100')
  await assert.rejects(ensureGuest(request()), /brought no package lists:\nE: no network/)
})

test('a package that the sources do not have is named', async () => {
  await assert.rejects(ensureGuest(request({ kind: 'full' })),
    /apt sources have no package linux-image-amd64 or linux-image-generic/)
})

test('a package without the wanted file is an error', async () => {
  fake('dpkg-deb', `cd '${folder}/bin'; tar -c apt-get`)
  await assert.rejects(ensureGuest(request()), /has no file \.\/boot\/vmlinuz-\*/)
  assert.deepEqual(readdirSync(join(folder, 'cache', 'guest')), [])
})

test('programs that are missing are named', () => {
  assert.throws(() => requireTools('/nonexistent'), (error: unknown) => {
    assert(error instanceof PackageError)
    assert.equal(error.message, 'apt-get, apt-cache, dpkg-deb, tar: not found on this machine')
    return true
  })
})

test('a control paragraph gives name, version, size and dependencies', () => {
  const info = packageInfoOf('Package: a\nVersion: 1:2-3\nDepends: b (>= 1), c | d:any\nSize: 42\n')
  assert.deepEqual(info, {
    name: 'a', version: '1:2-3', sizeBytes: 42, depends: ['b', 'c', 'd'],
  })
  assert.equal(packageInfoOf('N: nothing'), undefined)
})

test('the cache folder follows the environment', () => {
  assert.equal(cacheFolder({ XENOLITH_CACHE: '/x' }), '/x')
  assert.equal(cacheFolder({ XDG_CACHE_HOME: '/y' }), '/y/xenolith')
  assert.match(cacheFolder({}), /\/\.cache\/xenolith$/)
})
