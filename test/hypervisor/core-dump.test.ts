/**
 * Core dumps of a running guest, as binutils' readelf understands them and as their format says.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { VcpuGuestContext } from '../../src/abi/xen/xen.ts'
import { LibxlError } from '../../src/toolstack/domain/libxl.ts'
import { deafLoop } from '../guests/programs.ts'
import { InnerMachine } from '../hostile/inner-machine.ts'

const machine = await InnerMachine.start(128)
after(() => machine.stop())
const image = deafLoop()
const { domid } = await machine.guest('looping', image, 16)
const path = await machine.dump(domid)
const dump = readFileSync(path)
const sections = sectionsOf(dump)

/** By name, read without the code that wrote them. */
function sectionsOf(bytes: Buffer): Map<string, Buffer> {
  const at = Number(bytes.readBigUInt64LE(40))
  const [size, count, namesIn] = [58, 60, 62].map((field) => bytes.readUInt16LE(field))
  const bodyOf = (index: number): Buffer => {
    const head = at + index * size!
    const start = Number(bytes.readBigUInt64LE(head + 24))
    return bytes.subarray(start, start + Number(bytes.readBigUInt64LE(head + 32)))
  }
  const names = bodyOf(namesIn!)
  return new Map(Array.from({ length: count! }, (_, i) => {
    const name = names.subarray(bytes.readUInt32LE(at + i * size!))
    return [name.subarray(0, name.indexOf(0)).toString(), bodyOf(i)]
  }))
}

/** The frames that are in the file, in its order. */
const frames = words(sections.get('.xen_pfn')!)

function words(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 8 }, (_, i) => Number(bytes.readBigUInt64LE(i * 8)))
}

test('readelf finds the sections that the format demands', (t) => {
  const done = spawnSync('readelf', ['-W', '-h', '-S', path], { encoding: 'utf8' })
  if (done.error) return t.skip('there is no readelf')
  assert.equal(done.stderr, '')
  assert.match(done.stdout, /Type: +CORE/)
  assert.match(done.stdout, /\.note\.Xen +NOTE/)
  for (const name of ['prstatus', 'pfn', 'pages']) {
    assert.match(done.stdout, new RegExp(`\\.xen_${name} +PROGBITS`))
  }
})

test('the notes say what it is, of which Xen, and how large', () => {
  const bytes = sections.get('.note.Xen')!
  const notes: [number, Buffer][] = []
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at + 4)
    assert.equal(bytes.subarray(at + 12, at + 16).toString(), 'Xen\0')
    notes.push([bytes.readUInt32LE(at + 8), bytes.subarray(at + 16, at + 16 + size)])
    at += 16 + size
  }
  assert.deepEqual(notes.map(([type]) => type - 0x200_0000), [0, 1, 2, 3])
  const [, header, version, format] = notes.map(([, body]) => body)
  assert.deepEqual(words(header!), [0xf00f_ebee, 1, frames.length, 4096])
  assert.deepEqual(words(version!.subarray(0, 16)), [4, 17])
  assert.deepEqual(words(format!), [1])
})

test('each page is there once, with what the guest has in it', () => {
  const pages = sections.get('.xen_pages')!
  assert.equal(pages.length, frames.length * 4096)
  assert.equal(new Set(frames).size, frames.length)
  for (let gfn = 0; gfn < 16 * 256; gfn++) assert.ok(frames.includes(gfn), `page ${gfn}`)
  const code = Buffer.from([0xfa, 0xeb, 0xfe])
  assert.ok(Buffer.from(image).includes(code))
  assert.ok(pages.includes(code), 'its code')
})

test('the registers are those of a VCPU that loops in the kernel', () => {
  const status = sections.get('.xen_prstatus')!
  assert.equal(status.length, VcpuGuestContext.size)
  const { user_regs: registers, flags, ctrlreg } =
    VcpuGuestContext.on(new Uint8Array(status), 0)
  const rip = Number(registers.rip)
  const at = frames.indexOf(rip >>> 12) * 4096 + rip % 4096
  const there = sections.get('.xen_pages')!.subarray(at, at + 2)
  assert.deepEqual([...there], [0xeb, 0xfe])
  assert.equal(Number(flags) & 4, 4)
  assert.equal(Number(ctrlreg.get(0)) & 1, 1)
})

test('a domain that is not there has no core', async () => {
  await assert.rejects(machine.dump(77), LibxlError)
})
