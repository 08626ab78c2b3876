/**
 * The area of XSAVE and XRSTOR (AMD APM 2, 11.5.9): where what lies in it.
 */
import { IMAGE, IMAGE_BYTES } from '../../isa/x87/image.ts'

/** Byte offsets. */
export const AREA = {
  /** Legacy region. */
  ...IMAGE,
  /** XSTATE_BV: the components that are not in their initial state. */
  components: IMAGE_BYTES,
  /** XCOMP_BV: COMPACT and the components of the compacted form, 0 in the standard form. */
  format: 520,
  /** Six words. */
  reserved: 528,
  /** Upper halves of the vector registers. */
  avx: 576,
  avxSize: 256,
} as const

export const COMPACT = 1n << 63n
export const MXCSR_DEFAULT = 0x1f80
/** The area's first word (control word, status word, tags, opcode) in the initial state. */
export const X87_INITIAL_CONTROL = 0x37fn
