/**
 * The names of xl.cfg's options: which are honoured, which are named in a warning because they
 * change nothing here, and which a domain cannot be made with.
 *
 * The names are those that xl 4.17 reads; xl.cfg(5) describes most of them.
 */

/** Options that are honoured. */
const HONOURED = [
  'name', 'type', 'builder', 'uuid', 'kernel', 'ramdisk', 'cmdline', 'root', 'extra', 'memory',
  'maxmem', 'vcpus', 'maxvcpus', 'on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash',
  'on_soft_reset', 'tsc_mode', 'pool', 'cpus', 'cpus_soft', 'cpu_weight', 'cap', 'max_grant_frames',
  'max_maptrack_frames', 'max_grant_version', 'max_event_channels', 'disk', 'vif',
  'bootloader', 'bootloader_args', 'vnuma', 'localtime', 'rtc_timeoffset', 'channel',
  'cpuid', 'pvshim', 'pvshim_path', 'pvshim_cmdline', 'pvshim_extra',
  // What they permit or forbid is never done: migration, and a domain's back-ends always work.
  'nomigrate', 'driver_domain',
]

const WITHOUT_EFFECT: Readonly<Record<string, readonly string[]>> = {
  'is for HVM domains and has no effect': [
    'acpi_firmware', 'acpi_laptop_slate', 'acpi_s3', 'acpi_s4', 'altp2mhvm', 'apic', 'bios',
    'bios_path_override', 'boot', 'firmware_override', 'gfx_passthru', 'hdtype', 'hpet', 'keymap',
    'mca_caps', 'mmio_hole', 'ms_vm_genid', 'nographic', 'nx', 'opengl', 'pae', 'rdm_mem_boundary',
    'sdl', 'serial', 'smbios_firmware', 'soundhw', 'spice', 'spiceagent_mouse',
    'spice_clipboard_sharing', 'spicedisable_ticketing', 'spicehost', 'spice_image_compression',
    'spicepasswd', 'spiceport', 'spice_streaming_video', 'spicetls_port', 'spiceusbredirection',
    'spicevdagent', 'stdvga', 'usb', 'usbdevice', 'usbversion', 'vendor_device', 'vga', 'videoram',
    'viridian', 'vkb_device', 'vnc', 'vncdisplay', 'vnclisten', 'vncpasswd', 'vncunused',
    'vpt_align', 'display', 'xauthority', 'xen_platform_pci', 'timer_mode',
  ],
  'is for PV domains and has no effect': ['e820_host', 'xend_suspend_evtchn_compat'],
  'is for Arm and has no effect': ['gic_version', 'tee', 'vuart'],
  'has no effect, as there is no device model': [
    'device_model', 'device_model_args', 'device_model_args_hvm', 'device_model_args_pv',
    'device_model_override', 'device_model_stubdomain_override',
    'device_model_stubdomain_seclabel', 'device_model_user', 'device_model_version', 'dm_restrict',
    'stubdomain_cmdline', 'stubdomain_kernel', 'stubdomain_memory', 'stubdomain_ramdisk',
  ],
  'has no effect here': [
    'acpi', 'altp2m', 'extratime', 'hap', 'init_seclabel', 'latency', 'msr_relaxed',
    'nestedhvm', 'oos', 'passthrough', 'pci_msitranslate', 'pci_permissive', 'pci_power_mgmt',
    'pci_seize', 'period', 'seclabel', 'shadow_memory', 'slice', 'vmtrace_buf_kb', 'vpmu',
  ],
}

/** Values that ask for what is so anyway, where it is not 0. */
const FULFILLED: Readonly<Record<string, readonly string[]>> = {
  acpi: ['1'], apic: ['1'], hap: ['1'], nx: ['1'], pae: ['1'], altp2m: ['0', 'disabled'],
  passthrough: ['0', 'disabled'], device_model_version: ['qemu-xen'],
}

const NO_EFFECT: ReadonlyMap<string, string> = new Map(Object.entries(WITHOUT_EFFECT)
  .flatMap(([why, names]) => names.map((name) => [name, why] as const)))

/** Why an option with a value (a list's is undefined) changes nothing, unless it needs not. */
export function withoutEffect(name: string, value: string | undefined): string | undefined {
  const why = NO_EFFECT.get(name)
  const isFulfilled = value !== undefined && (FULFILLED[name] ?? ['0']).includes(value)
  return isFulfilled ? undefined : why
}

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
  ['ioports', 'I/O port access'],
  ['iomem', 'I/O memory access'],
  ['irqs', 'interrupt access'],
  ['dtdev', 'device tree passthrough'],
  ['rdm', 'reserved device memory'],
])

/** Single values that ask for a service, if they are not 0. */
export const SERVICES: ReadonlyMap<string, string> = new Map([
  ['device_tree', 'device trees'],
  ['firmware', 'firmware'],
])

/** Every name that xl would read. */
export const KNOWN_OPTIONS: ReadonlySet<string> = new Set([
  ...HONOURED, ...NO_EFFECT.keys(), ...DEVICE_LISTS.keys(), ...SERVICES.keys(),
])
