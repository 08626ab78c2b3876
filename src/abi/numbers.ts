/**
 * Brands: numbers of different spaces that must not be swapped.
 */
declare const space: unique symbol

/** A guest frame number: an index into a domain's physical address space. */
export type Gfn = number & { readonly [space]: 'gfn' }
/** A machine frame number: an index into machine memory. */
export type Mfn = number & { readonly [space]: 'mfn' }
export type Domid = number & { readonly [space]: 'domid' }
/** A domain's end of an event channel. */
export type EvtchnPort = number & { readonly [space]: 'port' }
export type GrantRef = number & { readonly [space]: 'gref' }

export function asGfn(n: number): Gfn {
  return n as Gfn
}

export function asMfn(n: number): Mfn {
  return n as Mfn
}

export function asDomid(n: number): Domid {
  return n as Domid
}

export function asEvtchnPort(n: number): EvtchnPort {
  return n as EvtchnPort
}

export function asGrantRef(n: number): GrantRef {
  return n as GrantRef
}

export const PAGE_SHIFT = 12
export const PAGE_SIZE = 4096
