/**
 * What a PVH guest finds in its memory, read as a kernel reads it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_HVM_START_MAGIC_VALUE,
} from '../../abi/xen/arch-x86/hvm/start_info.ts'
import { ImageError } from './image-error.ts'
import { loadKernel } from './kernel.ts'
import { planPvhImage, type PvhRequest, writePvhImage } from './pvh-image.ts'
import {
  SAMPLE_ENTRY, SAMPLE_LOAD_ADDRESS, SAMPLE_MEMORY_SIZE, sampleElf, type SampleOptions,
} from './sample-kernel.ts'

const MIB = 1024 * 1024
const host = { gunzip: () => assert.fail(), unzstd: () => assert.fail() }

function plan(request: Partial<PvhRequest> = {}, options: SampleOptions = {}) {
  const kernel = loadKernel(sampleElf(options), host, 'vmlinux')
  return planPvhImage({
    kernel, modules: [], commandLine: 'console=hvc0', memoryBytes: 64 * MIB, maxVcpus: 1,
    ...request,
  })
}

/** Memory with nothing but what was written. */
class SparseMemory {
  readonly #pages = new Map<number, Uint8Array>()

  write(address: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const at = address + i
      const page = Math.floor(at / 4096)
      let content = this.#pages.get(page)
      if (!content) this.#pages.set(page, content = new Uint8Array(4096))
      content[at % 4096] = bytes[i]!
    }
  }

  read(address: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => {
      return this.#pages.get(Math.floor((address + i) / 4096))?.[(address + i) % 4096] ?? 0
    })
  }

  text(address: number): string {
    let text = ''
    for (let at = address; ; at++) {
      const byte = this.read(at, 1)[0]!
      if (byte === 0) return text
      text += String.fromCharCode(byte)
    }
  }
}

function written(request: Partial<PvhRequest> = {}, options: SampleOptions = {}) {
  const image = plan(request, options)
  const memory = new SparseMemory()
  writePvhImage(image, memory)
  const info = HvmStartInfo.on(memory.read(image.startInfoAddress, HvmStartInfo.size))
  return { image, memory, info }
}

test('the kernel lies where its program headers say, and EBX will point at the start info', () => {
  const { image, memory, info } = written()
  assert.deepEqual([...memory.read(SAMPLE_LOAD_ADDRESS, 2)], [0x90, 0x90])
  assert.equal(image.startState.rip, SAMPLE_ENTRY)
  assert.equal(image.startState.rbx, image.startInfoAddress)
  assert.equal(image.startInfoAddress, SAMPLE_LOAD_ADDRESS + SAMPLE_MEMORY_SIZE)
  assert.equal(info.magic, XEN_HVM_START_MAGIC_VALUE)
  assert.equal(info.version, 1)
  assert.equal(info.flags, 0)
})

test('the command line ends with a zero and is found through the start info', () => {
  const { memory, info } = written({ commandLine: 'console=hvc0 root=/dev/xvda ä' })
  const text = new TextDecoder().decode(
    Uint8Array.from(memory.text(info.cmdline_paddr), (c) => c.charCodeAt(0)))
  assert.equal(text, 'console=hvc0 root=/dev/xvda ä')
})

test('without a ramdisk there are no modules', () => {
  const { info } = written()
  assert.equal(info.nr_modules, 0)
  assert.equal(info.modlist_paddr, 0)
})

test('the ramdisk is module 0, on a page of its own', () => {
  const ramdisk = Uint8Array.from({ length: 5000 }, (_, i) => i)
  const { memory, info } = written({ modules: [{ bytes: ramdisk }] })
  assert.equal(info.nr_modules, 1)
  const module = HvmModlistEntry.on(memory.read(info.modlist_paddr, HvmModlistEntry.size))
  assert.equal(module.size, 5000)
  assert.equal(module.paddr % 4096, 0)
  assert.equal(module.cmdline_paddr, 0)
  assert.deepEqual(memory.read(module.paddr, 5000), ramdisk)
})

test('modules follow one another, each with its own command line or none', () => {
  const modules = [
    { bytes: new Uint8Array(5000).fill(1), commandLine: 'console=hvc0 ro' },
    { bytes: new Uint8Array(3).fill(2) },
  ]
  const { memory, info } = written({ modules, commandLine: 'pv-shim' })
  assert.equal(memory.text(info.cmdline_paddr), 'pv-shim')
  assert.equal(info.nr_modules, 2)
  const [first, second] = [0, 1].map((i) => HvmModlistEntry.on(
    memory.read(info.modlist_paddr + i * HvmModlistEntry.size, HvmModlistEntry.size)))
  assert.equal(memory.text(first!.cmdline_paddr), 'console=hvc0 ro')
  assert.equal(second!.cmdline_paddr, 0)
  assert.deepEqual([first!.size, second!.size], [5000, 3])
  assert.equal(second!.paddr, first!.paddr + 8192)
  assert.deepEqual(memory.read(second!.paddr, 4), new Uint8Array([2, 2, 2, 0]))
})

test('the memory map has RAM, ACPI, the special pages, and RAM above 4 GiB if there is', () => {
  const small = written()
  assert.deepEqual(mapOf(small), [
    [0, 64 * MIB, 1],
    [0xfc000000, small.image.memoryMap[1]!.size, 3],
    [0xfeff8000, 0x8000, 2],
  ])
  const large = written({ memoryBytes: 5 * 1024 * MIB })
  assert.deepEqual(mapOf(large).filter(([, , type]) => type === 1), [
    [0, 0xf0000000, 1],
    [2 ** 32, 5 * 1024 * MIB - 0xf0000000, 1],
  ])
  const ramFrames = large.image.ram.reduce((sum, range) => sum + range.count, 0)
  assert.equal(ramFrames, 5 * 1024 * 256)
})

function mapOf({ memory, info }: ReturnType<typeof written>): number[][] {
  return Array.from({ length: info.memmap_entries }, (_, i) => {
    const at = info.memmap_paddr + i * HvmMemmapTableEntry.size
    const entry = HvmMemmapTableEntry.on(memory.read(at, HvmMemmapTableEntry.size))
    return [entry.addr, entry.size, entry.type]
  })
}

function tableAt(memory: SparseMemory, address: number, length = 36) {
  const bytes = memory.read(address, length)
  return {
    bytes, view: new DataView(bytes.buffer), name: String.fromCharCode(...bytes.subarray(0, 4)),
  }
}

function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
}

/** Finds the tables from the RSDP on, checking sums and that all of it is inside the ACPI range. */
function tablesOf(memory: SparseMemory, rsdpAddress: number): Map<string, DataView> {
  const rsdp = tableAt(memory, rsdpAddress)
  assert.equal(String.fromCharCode(...rsdp.bytes.subarray(0, 8)), 'RSD PTR ')
  assert.equal(sumOf(rsdp.bytes.subarray(0, 20)), 0)
  assert.equal(sumOf(rsdp.bytes), 0)
  const tables = new Map<string, DataView>()
  const add = (address: number) => {
    const head = tableAt(memory, address)
    const table = tableAt(memory, address, head.view.getUint32(4, true))
    if (table.name !== 'FACS') assert.equal(sumOf(table.bytes), 0, table.name)
    tables.set(table.name, table.view)
    return table.view
  }
  const xsdt = add(Number(rsdp.view.getBigUint64(24, true)))
  for (let at = 36; at < xsdt.byteLength; at += 8) add(Number(xsdt.getBigUint64(at, true)))
  const fadt = tables.get('FACP')!
  add(fadt.getUint32(36, true))
  add(fadt.getUint32(40, true))
  assert.equal(fadt.getUint32(40, true), Number(fadt.getBigUint64(140, true)))
  return tables
}

test('the ACPI tables hang together and their sums are zero', () => {
  const { memory, info } = written({ maxVcpus: 2 })
  const tables = tablesOf(memory, info.rsdp_paddr)
  assert.deepEqual([...tables.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'FACS', 'XSDT'])
  assert.equal(tables.get('FACP')!.byteLength, 0x10c)
})

test('each vcpu has a local APIC with twice its number as id', () => {
  const { memory, info } = written({ maxVcpus: 3, onlineVcpus: 2 })
  const madt = tablesOf(memory, info.rsdp_paddr).get('APIC')!
  assert.equal(madt.getUint32(36, true), 0xfee00000)
  const entries = [0, 1, 2].map((i) => {
    return [2, 3, 4].map((field) => madt.getUint8(44 + i * 8 + field))
  })
  assert.deepEqual(entries, [[0, 0, 1], [1, 2, 1], [2, 4, 0]])
})

test('the RSDP is in BIOS memory for a Linux that looks only there', () => {
  assert.equal(written({}, { features: 0x801 }).info.rsdp_paddr, 0xfffc0)
  assert(written().info.rsdp_paddr > 0xfc000000)
})

test('the RSDP is behind the tables for kernels that are not Linux', () => {
  const options = { features: 0, guestOs: 'Mini-OS', loadAddress: 0xff000, entry: 0xff010 }
  const { memory, info } = written({}, options)
  assert(info.rsdp_paddr > 0xfc000000)
  assert(tablesOf(memory, info.rsdp_paddr).has('APIC'))
})

test('the ACPI range and the special pages are populated besides RAM', () => {
  const { image } = written()
  const [acpi, special] = image.extra
  assert.equal(acpi!.first, 0xfc000)
  assert(acpi!.count * 4096 >= image.memoryMap[1]!.size)
  assert.deepEqual(special, { first: 0xfeff8, count: 8 })
  assert.equal(image.specialPages.xenstore, 0xfeffc)
  assert.equal(image.specialPages.console, 0xfefff)
})

test('a ramdisk for which there is no room above the kernel lies below it', () => {
  const ramdisk = new Uint8Array(3 * MIB + 1).fill(7)
  const { memory, info } = written({ memoryBytes: 17 * MIB, modules: [{ bytes: ramdisk }] })
  const module = HvmModlistEntry.on(memory.read(info.modlist_paddr, HvmModlistEntry.size))
  assert.equal(module.paddr, SAMPLE_LOAD_ADDRESS - 3 * MIB - 4096)
  assert.deepEqual(memory.read(module.paddr + 3 * MIB, 2), Uint8Array.of(7, 0))
})

test('too little memory is refused with the least that would do', () => {
  assert.throws(() => plan({
    memoryBytes: 17 * MIB, modules: [{ bytes: new Uint8Array(16 * MIB) }],
  }), {
    name: 'ImageError', problem: 'too little memory',
    message: 'vmlinux: with its ramdisk does not fit into 17 MB of memory; ' +
      '33 MB are the least that could hold it',
  })
  assert.throws(() => plan({ memoryBytes: 16 * MIB }), ImageError)
  assert.throws(() => plan({ memoryBytes: 0 }), ImageError)
})

test('a kernel without a PVH note is refused', () => {
  assert.throws(() => plan({}, { pvh: false }), { problem: 'no PVH entry' })
})

test('a kernel that would lie over the BIOS RSDP is refused', () => {
  const options = { features: 0, loadAddress: 0xff000, entry: 0xff010 }
  assert.throws(() => plan({}, options), { problem: 'unsupported' })
})
