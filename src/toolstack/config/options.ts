/**
 * The names of xl.cfg's options: which exist, and which ask for what is not built yet.
 *
 * Obeys xl.cfg(5) of Xen 4.17, with the older spellings that xl still reads.
 */

/** Options that are honoured. */
const HONOURED = [
  'name', 'type', 'builder', 'uuid', 'kernel', 'ramdisk', 'cmdline', 'root', 'extra', 'memory',
  'maxmem', 'vcpus', 'maxvcpus', 'on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash',
  'on_soft_reset', 'tsc_mode', 'pool', 'cpus', 'cpus_soft', 'cpu_weight', 'cap', 'max_grant_frames',
  'max_maptrack_frames', 'max_grant_version', 'max_event_channels', 'disk', 'vif',
  'bootloader', 'bootloader_args', 'vnuma',
]

/** Options that have no effect here, and may. */
const WITHOUT_EFFECT = [
  'acpi', 'acpi_laptop_slate', 'acpi_s3', 'acpi_s4', 'altp2m', 'altp2mhvm', 'apic', 'arch_x86',
  'assisted_xapic', 'assisted_x2apic', 'bios', 'bios_path_override', 'blkdev_start',
  'boot', 'claim_mode', 'console', 'cpuid', 'dm_restrict',
  'device_model_args', 'device_model_args_hvm', 'device_model_args_pv', 'device_model_override',
  'device_model_stubdomain_override', 'device_model_stubdomain_seclabel', 'device_model_user',
  'device_model_version', 'driver_domain', 'e820_host', 'fda', 'fdb', 'firmware_override',
  'gfx_passthru', 'guestid', 'hap', 'hdtype', 'hpet', 'hvm', 'init_seclabel', 'keymap',
  'localtime', 'mca_caps', 'mmio_hole', 'msr_relaxed', 'msitranslate', 'nestedhvm', 'nographic',
  'nomigrate', 'numa_placement', 'nx', 'oos', 'opengl', 'opregion', 'pae', 'passthrough',
  'paging_mempool', 'pci_msitranslate', 'pci_permissive', 'pci_power_mgmt', 'pci_seize', 'pvh',
  'pvshim', 'pvshim_cmdline', 'pvshim_extra', 'pvshim_path', 'rdm_mem_boundary',
  'rtc_timeoffset', 'run_hotplug_scripts', 'sched', 'sdl', 'seclabel', 'serial',
  'shadow_memory', 'smbios', 'smbios_firmware', 'acpi_firmware', 'soundhw', 'spice',
  'spiceagent_mouse', 'spice_clipboard_sharing', 'spice_image_compression',
  'spice_streaming_video', 'spicedisable_ticketing', 'spicehost', 'spicepasswd', 'spiceport',
  'spicetls_port', 'spiceusbredirection', 'spicevdagent', 'stdvga', 'stubdomain_cmdline',
  'stubdomain_kernel', 'stubdomain_memory', 'stubdomain_ramdisk', 'suppress_spurious_page_faults',
  'system_firmware', 'tee', 'timer_mode', 'timeoffset', 'usb', 'usbdevice', 'usbversion', 'vga',
  'videoram', 'viridian', 'vkb_device', 'vm_notify', 'vmtrace_buf_kb', 'vnc', 'vncconsole',
  'vncdisplay', 'vnclisten', 'vncpasswd', 'vncunused', 'vpmu', 'vpt_align', 'vuart', 'xauthority',
  'xen_platform_pci', 'xend_suspend_evtchn_compat', 'display', 'period', 'budget', 'extratime',
  'colo_proxy_script', 'cpu_time', 'llc_colors', 'trap_unmapped_accesses', 'gic_version', 'sve',
  'nr_spis', 'altp2m_count', 'xen_9pfs', 'acpi_path', 'firmware_path',
]

/** Lists of devices, each with the words for what they would be. */
export const DEVICE_LISTS: ReadonlyMap<string, string> = new Map([
  ['vif2', 'network interfaces'],
  ['vfb', 'framebuffers'],
  ['vkb', 'keyboards'],
  ['pci', 'PCI passthrough'],
  ['vtpm', 'vTPMs'],
  ['p9', '9pfs shares'],
  ['pvcalls', 'PV calls'],
  ['usbctrl', 'USB controllers'],
  ['usbdev', 'USB devices'],
  ['vdispl', 'virtual displays'],
  ['vsnd', 'virtual sound cards'],
  ['virtio', 'virtio devices'],
  ['channel', 'channels'],
  ['ioports', 'I/O port access'],
  ['iomem', 'I/O memory access'],
  ['irqs', 'interrupt access'],
  ['dtdev', 'device tree passthrough'],
  ['rdm', 'reserved device memory'],
])

/** Single values that ask for a service. */
export const SERVICES: ReadonlyMap<string, string> = new Map([
  ['device_tree', 'device trees'],
  ['firmware', 'firmware'],
])

/** Every name that xl would read. */
export const KNOWN_OPTIONS: ReadonlySet<string> = new Set([
  ...HONOURED, ...WITHOUT_EFFECT, ...DEVICE_LISTS.keys(), ...SERVICES.keys(),
])
