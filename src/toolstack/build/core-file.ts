/**
 * Core dumps of domains: everything in the file but the pages.
 *
 * Obeys Xen's docs/misc/dump-core-format.txt, version 0.1: an ELF file of sections without program
 * headers. The pages come first, so that they can be written as they are found; how many there are,
 * and where they were, follows. The optional .xen_shared_info is left out.
 */
import { joined } from '../../base/bytes.ts'
import { HVM_SAVE_CODE_CPU, HvmHwCpu } from '../../abi/save/hvm.ts'
import { XenCompileInfo } from '../../abi/xen/version.ts'
import { VcpuGuestContext, VGCF_i387_valid, VGCF_in_kernel, VGCF_online } from
  '../../abi/xen/xen.ts'
import { u16, u32, u64, u8 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'
import type { XenVersion } from '../../dom0/interfaces.ts'
import { readRecords } from './hvm-context.ts'

const PAGE = 4096
/** Pages lie behind the header, and begin with a page. */
export const PAGES_AT = PAGE

const XC_CORE_MAGIC_HVM = 0xf00f_ebeen
const FORMAT_VERSION = 1n
const NOTE_NONE = 0x200_0000
const NOTE_HEADER = 0x200_0001
const NOTE_XEN_VERSION = 0x200_0002
const NOTE_FORMAT_VERSION = 0x200_0003

const SHT_PROGBITS = 1
const SHT_STRTAB = 3
const SHT_NOTE = 7
/** 64 bits, little-endian, version 1. */
const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]
const ET_CORE = 4
const EM_X86_64 = 62

const Header = struct('Elf64_Ehdr', {
  e_ident: array(u8, 16), e_type: u16, e_machine: u16, e_version: u32, e_entry: u64, e_phoff: u64,
  e_shoff: u64, e_flags: u32, e_ehsize: u16, e_phentsize: u16, e_phnum: u16, e_shentsize: u16,
  e_shnum: u16, e_shstrndx: u16,
})
const Section = struct('Elf64_Shdr', {
  sh_name: u32, sh_type: u32, sh_flags: u64, sh_addr: u64, sh_offset: u64, sh_size: u64,
  sh_link: u32, sh_info: u32, sh_addralign: u64, sh_entsize: u64,
})
const Note = struct('elf note of xen', { namesz: u32, descsz: u32, type: u32, name: array(u8, 4) })
const CoreHeader = struct('struct xen_dumpcore_elfnote_header_desc', {
  xch_magic: u64, xch_nr_vcpus: u64, xch_nr_pages: u64, xch_page_size: u64,
})
const CoreXenVersion = struct('struct xen_dumpcore_elfnote_xen_version_desc', {
  major_version: u64, minor_version: u64, extra_version: array(u8, 16),
  compile_info: XenCompileInfo, capabilities: array(u8, 1024), changeset: array(u8, 64),
  virt_start: u64, pagesize: u64,
})

/** What is in a dump beside its pages. */
export interface CoreContents {
  readonly version: XenVersion
  /** XEN_DOMCTL_gethvmcontext's records, with the registers of its VCPUs. */
  readonly context: Uint8Array
  /** Where each page was, in the order in which they are in the file. */
  readonly gfns: readonly number[]
}

interface Part {
  readonly name: string
  readonly type: number
  readonly at: number
  readonly size: number
  readonly entrySize: number
}

/** The beginning of the file, and what follows the pages. */
export function coreFile(
  contents: CoreContents,
): { readonly head: Uint8Array, readonly tail: Uint8Array } {
  const { gfns } = contents
  const vcpus = vcpuContexts(contents.context)
  const bodies: readonly (readonly [string, number, Uint8Array, number])[] = [
    ['.note.Xen', SHT_NOTE, notes(contents, vcpus.length), 0],
    ['.xen_prstatus', SHT_PROGBITS, joined(vcpus), VcpuGuestContext.size],
    ['.xen_pfn', SHT_PROGBITS, new Uint8Array(BigUint64Array.from(gfns, BigInt).buffer), 8],
  ]
  const pages: Part = {
    name: '.xen_pages', type: SHT_PROGBITS, at: PAGES_AT, size: gfns.length * PAGE,
    entrySize: PAGE,
  }
  const parts: Part[] = [pages]
  const pieces: Uint8Array[] = []
  let at = PAGES_AT + pages.size
  const add = (name: string, type: number, body: Uint8Array, entrySize: number): void => {
    parts.push({ name, type, at, size: body.length, entrySize })
    const padded = new Uint8Array(Math.ceil(body.length / 8) * 8)
    padded.set(body)
    pieces.push(padded)
    at += padded.length
  }
  for (const body of bodies) add(...body)
  const names = ['', ...parts.map(({ name }) => name), '.shstrtab']
  add('.shstrtab', SHT_STRTAB, new TextEncoder().encode(`${names.join('\0')}\0`), 0)
  pieces.push(sectionTable(parts, names))
  return { head: header(at, parts.length + 1), tail: joined(pieces) }
}

function header(sectionsAt: number, sections: number): Uint8Array {
  const bytes = new Uint8Array(Header.size)
  const elf = Header.on(bytes)
  IDENT.forEach((byte, i) => elf.e_ident.set(i, byte))
  elf.e_type = ET_CORE
  elf.e_machine = EM_X86_64
  elf.e_version = 1
  elf.e_shoff = BigInt(sectionsAt)
  elf.e_ehsize = Header.size
  elf.e_shentsize = Section.size
  elf.e_shnum = sections
  elf.e_shstrndx = sections - 1
  return bytes
}

/** One for each part, behind the empty one that every such table begins with. */
function sectionTable(parts: readonly Part[], names: readonly string[]): Uint8Array {
  const bytes = new Uint8Array((parts.length + 1) * Section.size)
  parts.forEach(({ name, type, at, size, entrySize }, i) => {
    const section = Section.on(bytes, (i + 1) * Section.size)
    const before = names.slice(0, names.indexOf(name))
    section.sh_name = before.reduce((sum, one) => sum + one.length + 1, 0)
    section.sh_type = type
    section.sh_offset = BigInt(at)
    section.sh_size = BigInt(size)
    section.sh_addralign = name === '.xen_pages' ? BigInt(PAGE) : 8n
    section.sh_entsize = BigInt(entrySize)
  })
  return bytes
}

function notes({ version, gfns }: CoreContents, vcpus: number): Uint8Array {
  const core = new Uint8Array(CoreHeader.size)
  const about = CoreHeader.on(core)
  about.xch_magic = XC_CORE_MAGIC_HVM
  about.xch_nr_vcpus = BigInt(vcpus)
  about.xch_nr_pages = BigInt(gfns.length)
  about.xch_page_size = BigInt(PAGE)
  const format = new Uint8Array(BigUint64Array.of(FORMAT_VERSION).buffer)
  return joined([
    note(NOTE_NONE, new Uint8Array(0)), note(NOTE_HEADER, core),
    note(NOTE_XEN_VERSION, xenVersion(version)), note(NOTE_FORMAT_VERSION, format),
  ])
}

function note(type: number, description: Uint8Array): Uint8Array {
  const head = new Uint8Array(Note.size)
  const view = Note.on(head)
  view.namesz = 4
  view.descsz = description.length
  view.type = type
  head.set(new TextEncoder().encode('Xen'), Note.offsets.name)
  return joined([head, description])
}

function xenVersion(version: XenVersion): Uint8Array {
  const bytes = new Uint8Array(CoreXenVersion.size)
  const desc = CoreXenVersion.on(bytes)
  const put = (at: number, text: string, room: number): void =>
    bytes.set(new TextEncoder().encode(text).subarray(0, room - 1), at)
  const { offsets } = CoreXenVersion
  const info = XenCompileInfo.offsets
  desc.major_version = BigInt(version.major)
  desc.minor_version = BigInt(version.minor)
  put(offsets.extra_version, version.extra, 16)
  put(offsets.compile_info + info.compiler, version.compiler, 64)
  put(offsets.compile_info + info.compile_by, version.compileBy, 16)
  put(offsets.compile_info + info.compile_domain, version.compileDomain, 32)
  put(offsets.compile_info + info.compile_date, version.compileDate, 32)
  put(offsets.capabilities, version.capabilities, 1024)
  put(offsets.changeset, version.changeset, 64)
  desc.virt_start = version.virtStart
  desc.pagesize = BigInt(version.pageSize)
  return bytes
}

/** One struct vcpu_guest_context for each VCPU that was saved. */
function vcpuContexts(context: Uint8Array): Uint8Array[] {
  return readRecords(context).filter(({ type }) => type === HVM_SAVE_CODE_CPU)
    .map(({ body }) => vcpuContext(HvmHwCpu.on(body), body.subarray(0, 512)))
}

const GENERAL = [
  'rax', 'rbx', 'rcx', 'rdx', 'rbp', 'rsi', 'rdi', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13',
  'r14', 'r15', 'rip', 'rflags',
] as const

function vcpuContext(cpu: ReturnType<typeof HvmHwCpu.on>, fpu: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(VcpuGuestContext.size)
  const context = VcpuGuestContext.on(bytes)
  bytes.set(fpu, VcpuGuestContext.offsets.fpu_ctxt)
  const kernel = (cpu.ss_arbytes >>> 5 & 3) === 0 ? VGCF_in_kernel : 0
  context.flags = VGCF_online | kernel | (cpu.flags & 1 ? VGCF_i387_valid : 0)
  const regs = context.user_regs
  for (const name of GENERAL) regs[name] = cpu[name]
  regs.cs = cpu.cs_sel
  regs.ss = cpu.ss_sel
  regs.ds = cpu.ds_sel
  regs.es = cpu.es_sel
  regs.fs = cpu.fs_sel
  regs.gs = cpu.gs_sel
  const words = new DataView(bytes.buffer)
  const { ctrlreg, debugreg } = VcpuGuestContext.offsets
  const put = (at: number, values: Readonly<Record<number, bigint>>): void => {
    for (const [i, value] of Object.entries(values)) {
      words.setBigUint64(at + Number(i) * 8, value, true)
    }
  }
  put(ctrlreg, { 0: cpu.cr0, 2: cpu.cr2, 3: cpu.cr3, 4: cpu.cr4 })
  put(debugreg, {
    0: cpu.dr0, 1: cpu.dr1, 2: cpu.dr2, 3: cpu.dr3, 6: cpu.dr6, 7: cpu.dr7,
  })
  context.fs_base = cpu.fs_base
  context.gs_base_kernel = kernel ? cpu.gs_base : cpu.shadow_gs
  context.gs_base_user = kernel ? cpu.shadow_gs : cpu.gs_base
  return bytes
}
