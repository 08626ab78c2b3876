/**
 * Every option that xl 4.17 reads, by the names in its binary: none passes without a word.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { loadDomainConfig, refusalOf } from './domain.ts'
import { ConfigError } from './parser.ts'

const HONOURED = `name type builder uuid kernel ramdisk cmdline root extra memory maxmem vcpus
  maxvcpus on_poweroff on_reboot on_watchdog on_crash on_soft_reset tsc_mode pool cpus cpus_soft
  cpu_weight cap max_grant_frames max_maptrack_frames max_grant_version max_event_channels disk
  vif bootloader bootloader_args vnuma localtime rtc_timeoffset nomigrate driver_domain channel
  cpuid pvshim pvshim_path pvshim_cmdline pvshim_extra`

const OTHERS = `init_seclabel seclabel oos period
  slice latency extratime e820_host pci_msitranslate pci_power_mgmt pci_permissive pci_seize pci
  rdm dtdev passthrough shadow_memory videoram device_tree acpi timer_mode nestedhvm firmware
  firmware_override bios_path_override bios pae acpi_s3 acpi_s4 acpi_laptop_slate nx hpet
  vpt_align apic viridian mmio_hole altp2mhvm smbios_firmware acpi_firmware ms_vm_genid
  rdm_mem_boundary mca_caps altp2m vmtrace_buf_kb ioports irqs iomem p9 vtpm vdispl pvcalls vsnd
  vif2 vfb vkb usbctrl keymap usbdev device_model device_model_override
  device_model_version device_model_user stubdomain_kernel stubdomain_cmdline stubdomain_ramdisk
  stubdomain_memory device_model_args device_model_args_pv device_model_args_hvm
  device_model_stubdomain_override device_model_stubdomain_seclabel dm_restrict stdvga vga hdtype
  spice spiceport spicetls_port spicehost spicedisable_ticketing spicepasswd spiceagent_mouse
  spicevdagent spice_clipboard_sharing spiceusbredirection spice_image_compression
  spice_streaming_video nographic gfx_passthru serial usb usbversion usbdevice vkb_device soundhw
  xen_platform_pci vendor_device gic_version tee vuart xend_suspend_evtchn_compat msr_relaxed sdl
  opengl xauthority display vnc vnclisten vncpasswd vncdisplay vncunused boot hap vpmu`

/** The names. */
const words = (text: string): string[] => text.split(/\s+/)

/** What is said when an option is set. */
function said(name: string, value: string): string {
  const text = `name="a"\ntype="pvh"\nkernel="/k"\n${name}=${value}\n`
  try {
    const { config, messages } = loadDomainConfig('a.cfg', text)
    return [...messages, refusalOf(config) ?? ''].join('\n')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message
  }
}

test('an option that changes nothing is named, with why, or the domain is refused', () => {
  for (const name of words(OTHERS)) {
    const all = ['"x"', '["x"]'].map((value) => said(name, value)).join('\n')
    assert.match(all, new RegExp(`\`${name}' .*no effect|^${name}: .* not supported`, 'm'), name)
  }
})

test('one that is honoured is not', () => {
  for (const name of words(HONOURED)) assert.doesNotMatch(said(name, '1'), /no effect|unknown/)
})

test('neither is a value that asks for what is so anyway', () => {
  for (const name of ['vnc', 'nestedhvm', 'pvshim', 'altp2m']) assert.equal(said(name, '0'), '')
  for (const name of ['hap', 'acpi']) assert.equal(said(name, '1'), '')
  assert.match(said('hap', '0'), /`hap' has no effect here/)
})
