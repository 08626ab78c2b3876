/**
 * A PVH domain's memory before its first instruction: what lies where, and its writing.
 *
 * Obeys xen/include/public/arch-x86/hvm/start_info.h, and is laid out as by Xen's libxl and
 * libxenguest. From below: the kernel where its program headers put it, the start info (with
 * modules, memory map and command line), the modules; ACPI at 0xfc000000; eight special pages that
 * end at 0xff000000. Modules for which there is no room above the kernel go below it, which Xen
 * does not do. The identity page table (special page 6) stays empty: only Intel CPUs that cannot
 * run guests without paging read it.
 */
import {
  HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_HVM_MEMMAP_TYPE_ACPI,
  XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED, XEN_HVM_START_MAGIC_VALUE,
} from '../../abi/xen/arch-x86/hvm/start_info.ts'
import { asGfn, type Gfn, PAGE_SIZE } from '../../abi/numbers.ts'
import { type AcpiImage, buildAcpi } from './acpi/tables.ts'
import { ImageError } from './image-error.ts'
import {
  type KernelImage, XEN_ELFNOTE_GUEST_OS, XEN_ELFNOTE_SUPPORTED_FEATURES,
} from './kernel.ts'
import { layNodes, type NumaAffinity, type VirtualNode } from './numa.ts'
import { pvhStartState, type StartState } from './start-state.ts'

/** Where a domain's memory is written before it runs: foreign mapping, as a rule. */
export interface DomainMemory {
  write(physicalAddress: number, bytes: Uint8Array): void
}

/** A file that a kernel is started with: Linux's ramdisk, or what Xen runs. */
export interface BootModule {
  readonly bytes: Uint8Array
  readonly commandLine?: string
}

export interface PvhRequest {
  readonly kernel: KernelImage
  readonly modules: readonly BootModule[]
  readonly commandLine: string
  /** RAM, without special and ACPI pages. */
  readonly memoryBytes: number
  readonly maxVcpus: number
  /** How many vcpus are present at the start; all, unless given. */
  readonly onlineVcpus?: number
  /** Virtual NUMA nodes, which have all of the memory and all vcpus. */
  readonly vnodes?: readonly VirtualNode[] | undefined
}

export interface FrameRange {
  readonly first: Gfn
  readonly count: number
  /** The virtual node that it belongs to. */
  readonly vnode?: number
}

/** An entry of the guest's e820 map; `type` is XEN_HVM_MEMMAP_TYPE_*. */
export interface MemoryRange {
  readonly address: number
  readonly size: number
  readonly type: number
}

export interface SpecialPages {
  readonly paging: Gfn
  readonly access: Gfn
  readonly sharing: Gfn
  readonly bufioreq: Gfn
  readonly xenstore: Gfn
  readonly ioreq: Gfn
  readonly identPt: Gfn
  readonly console: Gfn
}

/** A domain's image, planned: which frames must be there, and what is written into them. */
export interface PvhImage {
  /** Frames of RAM. */
  readonly ram: readonly FrameRange[]
  /** Frames beside RAM, to be populated as well: ACPI tables and special pages. */
  readonly extra: readonly FrameRange[]
  readonly memoryMap: readonly MemoryRange[]
  readonly specialPages: SpecialPages
  readonly startInfoAddress: number
  readonly startState: StartState
  readonly contents: readonly PlacedBytes[]
  readonly numa: NumaAffinity | undefined
}

/** Frames not written stay as they come, which is zero. */
export interface PlacedBytes {
  readonly address: number
  readonly bytes: Uint8Array
}

const MIB = 1024 * 1024
const GIB_4 = 2 ** 32
/** RAM ends here at the latest, and goes on at 4 GiB. */
const LOW_MEMORY_END = 0xf0000000
const MEMORY_LIMIT = 64 * 1024 * MIB
const ACPI_START = 0xfc000000
/** libacpi keeps the first page for values that its AML reads; ours has none. */
const ACPI_TABLES = ACPI_START + PAGE_SIZE
const SPECIAL_END = 0xff000000
const SPECIAL_COUNT = 8
const SPECIAL_START = SPECIAL_END - SPECIAL_COUNT * PAGE_SIZE
/** Where those Linux kernels look for the RSDP that do not trust the start info (the end of BIOS
 * memory). */
const BIOS_RSDP = 0xfffc0
const START_INFO_VERSION = 1
/** XENFEAT_linux_rsdp_unrestricted: Linux finds the RSDP wherever the start info says. */
const FEATURE_RSDP_ANYWHERE = 1 << 15

/** Plans the memory of a PVH domain, or says why the parts do not make one. */
export function planPvhImage(request: PvhRequest): PvhImage {
  const { kernel, modules, memoryBytes, maxVcpus } = request
  if (kernel.pvhEntry === undefined) {
    throw new ImageError('no PVH entry', `${kernel.name}: not a PVH kernel: it has no Xen note ` +
      'that names a PVH entry (Linux: CONFIG_PVH)')
  }
  if (memoryBytes > MEMORY_LIMIT) {
    throw new ImageError('unsupported', `${memoryBytes / MIB} MB of memory; at most 65536 MB`)
  }
  const lowEnd = Math.min(memoryBytes, LOW_MEMORY_END)
  const numa = request.vnodes?.length
    ? layNodes(request.vnodes, maxVcpus, { start: LOW_MEMORY_END, end: GIB_4 }) : undefined
  const acpi = placeAcpi(kernel,
    buildAcpi(ACPI_TABLES, maxVcpus, request.onlineVcpus ?? maxVcpus, numa))
  const memoryMap = memoryMapOf(memoryBytes, lowEnd, acpi.end)

  const startInfoAddress = roundUp(kernel.end)
  const commandLines = [request, ...modules].map(({ commandLine }) =>
    commandLine === undefined ? undefined : new TextEncoder().encode(`${commandLine}\0`))
  const startInfoSize = startInfoSizeOf(modules.length, memoryMap.length, commandLines)
  const infoEnd = startInfoAddress + startInfoSize
  const placed = placeModules(modules, infoEnd, kernel.start, lowEnd)
  if (infoEnd > lowEnd || placed === undefined) throw tooLittleMemory(request, infoEnd)

  const startInfo = writeStartInfo({
    address: startInfoAddress, size: startInfoSize, commandLines, memoryMap,
    rsdpAddress: acpi.rsdpAddress, modules: placed,
  })
  const contents: PlacedBytes[] = kernel.segments
    .filter((segment) => segment.bytes.length > 0)
    .map((segment) => ({ address: segment.physicalAddress, bytes: segment.bytes }))
  contents.push({ address: startInfoAddress, bytes: startInfo }, ...acpi.contents, ...placed)
  return {
    ram: numa ? numa.memory.map(({ start, end, vnode }) =>
      ({ ...framesOf({ address: start, size: end - start }), vnode }))
      : memoryMap.filter((range) => range.type === XEN_HVM_MEMMAP_TYPE_RAM).map(framesOf),
    extra: [
      framesOf({ address: ACPI_START, size: roundUp(acpi.end) - ACPI_START }),
      framesOf({ address: SPECIAL_START, size: SPECIAL_END - SPECIAL_START }),
    ],
    memoryMap,
    specialPages: specialPages(),
    startInfoAddress,
    startState: pvhStartState(kernel.pvhEntry, startInfoAddress),
    contents,
    numa,
  }
}

/** Writes a planned image into a domain's memory, which must be populated and zero. */
export function writePvhImage(image: PvhImage, memory: DomainMemory): void {
  for (const { address, bytes } of image.contents) memory.write(address, bytes)
}

function roundUp(address: number): number {
  return Math.ceil(address / PAGE_SIZE) * PAGE_SIZE
}

function framesOf(range: { readonly address: number, readonly size: number }): FrameRange {
  return { first: asGfn(range.address / PAGE_SIZE), count: Math.floor(range.size / PAGE_SIZE) }
}

function sizeOf(modules: readonly BootModule[]): number {
  return modules.reduce((sum, { bytes }) => sum + roundUp(bytes.length), 0)
}

/** Modules on pages of their own, one after the other: above the kernel or, failing that, between
 * 1 MiB and the kernel. */
function placeModules(
  modules: readonly BootModule[], kernelEnd: number, kernelStart: number, memoryEnd: number,
): PlacedBytes[] | undefined {
  const size = sizeOf(modules)
  const above = roundUp(kernelEnd)
  const below = Math.floor(kernelStart / PAGE_SIZE) * PAGE_SIZE - size
  if (above + size > memoryEnd && below < MIB) return undefined
  let address = above + size <= memoryEnd ? above : below
  return modules.map(({ bytes }) => {
    const placed = { address, bytes }
    address += roundUp(bytes.length)
    return placed
  })
}

function tooLittleMemory(request: PvhRequest, infoEnd: number): ImageError {
  const end = roundUp(infoEnd) + sizeOf(request.modules)
  const what = ['without a ramdisk', 'with its ramdisk'][request.modules.length] ??
    `with its ${request.modules.length} modules`
  const has = Math.floor(request.memoryBytes / MIB)
  return new ImageError('too little memory', `${request.kernel.name}: ${what} does not fit into ` +
    `${has} MB of memory; ${Math.ceil(end / MIB)} MB are the least that could hold it`)
}

interface PlacedAcpi {
  readonly contents: readonly PlacedBytes[]
  readonly rsdpAddress: number
  /** The end of the range that the memory map calls ACPI. */
  readonly end: number
}

function placeAcpi(kernel: KernelImage, acpi: AcpiImage): PlacedAcpi {
  const features = kernel.notes.number(XEN_ELFNOTE_SUPPORTED_FEATURES) ?? 0
  const afterTables = ACPI_TABLES + acpi.tables.length
  const anywhere = kernel.notes.text(XEN_ELFNOTE_GUEST_OS) !== 'linux' ||
    (features & FEATURE_RSDP_ANYWHERE) !== 0
  const rsdpAddress = anywhere ? afterTables : BIOS_RSDP
  if (!anywhere && kernel.start < BIOS_RSDP + acpi.rsdp.length && kernel.end > BIOS_RSDP) {
    throw new ImageError('unsupported', `${kernel.name}: covers the place of the RSDP, 0xfffc0`)
  }
  return {
    contents: [
      { address: ACPI_TABLES, bytes: acpi.tables },
      { address: rsdpAddress, bytes: acpi.rsdp },
    ],
    rsdpAddress,
    end: anywhere ? afterTables + acpi.rsdp.length : afterTables,
  }
}

function memoryMapOf(memoryBytes: number, lowEnd: number, acpiEnd: number): MemoryRange[] {
  const map: MemoryRange[] = [
    { address: 0, size: lowEnd, type: XEN_HVM_MEMMAP_TYPE_RAM },
    { address: ACPI_START, size: acpiEnd - ACPI_START, type: XEN_HVM_MEMMAP_TYPE_ACPI },
    {
      address: SPECIAL_START, size: SPECIAL_END - SPECIAL_START,
      type: XEN_HVM_MEMMAP_TYPE_RESERVED,
    },
  ]
  if (memoryBytes > lowEnd) {
    map.push({ address: GIB_4, size: memoryBytes - lowEnd, type: XEN_HVM_MEMMAP_TYPE_RAM })
  }
  return map
}

function specialPages(): SpecialPages {
  const page = (index: number) => asGfn(SPECIAL_START / PAGE_SIZE + index)
  return {
    paging: page(0), access: page(1), sharing: page(2), bufioreq: page(3),
    xenstore: page(4), ioreq: page(5), identPt: page(6), console: page(7),
  }
}

/** Of the kernel, then of each module; with zeros at their ends. */
type CommandLines = ReadonlyArray<Uint8Array | undefined>

function startInfoSizeOf(modules: number, mapEntries: number, commandLines: CommandLines): number {
  return HvmStartInfo.size + modules * HvmModlistEntry.size +
    mapEntries * HvmMemmapTableEntry.size +
    commandLines.reduce((sum, line) => sum + (line?.length ?? 0), 0)
}

interface StartInfoParts {
  readonly address: number
  readonly size: number
  readonly commandLines: CommandLines
  readonly memoryMap: readonly MemoryRange[]
  readonly rsdpAddress: number
  readonly modules: readonly PlacedBytes[]
}

/** The start info, then the module list, the memory map, the command lines. */
function writeStartInfo(parts: StartInfoParts): Uint8Array {
  const bytes = new Uint8Array(parts.size)
  const modulesAt = HvmStartInfo.size
  const mapAt = modulesAt + parts.modules.length * HvmModlistEntry.size
  let end = mapAt + parts.memoryMap.length * HvmMemmapTableEntry.size
  const addressesOfLines = parts.commandLines.map((line) => {
    if (!line) return 0
    bytes.set(line, end)
    const address = parts.address + end
    end += line.length
    return address
  })

  const info = HvmStartInfo.on(bytes.buffer)
  info.magic = XEN_HVM_START_MAGIC_VALUE
  info.version = START_INFO_VERSION
  info.cmdline_paddr = addressesOfLines[0]!
  info.rsdp_paddr = parts.rsdpAddress
  info.memmap_paddr = parts.address + mapAt
  info.memmap_entries = parts.memoryMap.length
  info.nr_modules = parts.modules.length
  if (parts.modules.length > 0) info.modlist_paddr = parts.address + modulesAt
  parts.modules.forEach((module, i) => {
    const entry = HvmModlistEntry.on(bytes.buffer, modulesAt + i * HvmModlistEntry.size)
    entry.paddr = module.address
    entry.size = module.bytes.length
    entry.cmdline_paddr = addressesOfLines[1 + i]!
  })
  parts.memoryMap.forEach((range, i) => {
    const entry = HvmMemmapTableEntry.on(bytes.buffer, mapAt + i * HvmMemmapTableEntry.size)
    entry.addr = range.address
    entry.size = range.size
    entry.type = range.type
  })
  return bytes
}
