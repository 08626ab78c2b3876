/**
 * Which folder of src/ may import from which: the layering of ARCHITECTURE.md as data.
 *
 * A folder may import from itself and from the folders its row names. `npm run check` enforces the
 * table; there is no exception list. Rows whose `node` is true may import from `node:`.
 */
export interface Layer {
  readonly imports: readonly string[]
  readonly node?: boolean
}

export const layers: Readonly<Record<string, Layer>> = {
  base: { imports: [] },
  'abi/x86': { imports: ['base'] },
  abi: { imports: ['base', 'abi/x86'] },
  isa: { imports: ['base', 'abi/x86'] },
  wasm: { imports: ['base'] },
  cpu: { imports: ['base', 'abi/x86', 'isa', 'wasm'] },
  hypervisor: { imports: ['base', 'abi', 'abi/x86', 'cpu'] },
  platform: { imports: ['base', 'abi', 'abi/x86'] },
  guest: { imports: ['base', 'abi', 'abi/x86', 'cpu', 'hypervisor', 'platform'] },
  core: { imports: ['base', 'abi', 'abi/x86', 'cpu', 'hypervisor', 'guest'] },
  dom0: { imports: ['base', 'abi', 'abi/x86'] },
  xenstore: { imports: ['base', 'abi', 'dom0'] },
  storage: { imports: ['base'] },
  network: { imports: ['base'] },
  backends: { imports: ['base', 'abi', 'dom0', 'xenstore', 'storage', 'network'] },
  toolstack: {
    imports: ['base', 'abi', 'abi/x86', 'dom0', 'xenstore', 'storage', 'network', 'backends'],
  },
  debug: { imports: ['base', 'abi', 'isa', 'dom0'] },
  node: { imports: ['base'], node: true },
  bin: {
    imports: [
      'base', 'abi', 'abi/x86', 'isa', 'wasm', 'cpu', 'hypervisor', 'platform', 'guest', 'core',
      'dom0', 'xenstore', 'storage', 'network', 'backends', 'toolstack', 'debug', 'node',
    ],
    node: true,
  },
}
