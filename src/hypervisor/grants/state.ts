/**
 * Grant tables as they lie in hypervisor memory: what DomainState.grantsAt points at.
 *
 * The table that the guest writes (version 1: 512 entries of 8 bytes a frame) is in machine memory;
 * here is what Xen remembers of entries in use, and what the domain itself has mapped of others.
 */
import { u16, u32 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'

export const ENTRIES_PER_FRAME = 512
export const MAX_GRANT_FRAMES = 1024
export const HANDLES_PER_FRAME = 128
export const MAX_MAPTRACK_FRAMES = 1024
/** The end of the list of free handles. */
export const NO_HANDLE = 0xffff_ffff

/** An entry of the owner's table that somebody uses. */
export const ActiveGrant = struct('active grant', {
  /** How many uses read only, and how many also write. */
  readers: u32,
  writers: u32,
  mfn: u32,
  domid: u16,
  pad: u16,
})

/** A mapping, in the mapper's list. */
export const Mapping = struct('grant mapping', {
  /** 0 when free: `ref` is then the next free handle. */
  used: u16,
  owner: u16,
  ref: u32,
  mfn: u32,
  /** GNTMAP_*. */
  flags: u32,
  /** Where the mapper sees it. */
  gfn: u32,
  /** The owner's struct number, which a later domain of the same domid has not. */
  ownerSerial: u32,
})

export const NO_GFN = 0xffff_ffff

export const GrantsState = struct('grants', {
  frameCount: u32,
  handleFrames: u32,
  freeHandle: u32,
  mapped: u32,
  /** Machine frames of the table. */
  frames: array(u32, MAX_GRANT_FRAMES),
  /** Blocks of ENTRIES_PER_FRAME ActiveGrants, one a frame. */
  active: array(u32, MAX_GRANT_FRAMES),
  /** Blocks of HANDLES_PER_FRAME Mappings. */
  handles: array(u32, MAX_MAPTRACK_FRAMES),
})

export const ACTIVE_BYTES = ActiveGrant.size * ENTRIES_PER_FRAME
export const HANDLE_BYTES = Mapping.size * HANDLES_PER_FRAME
