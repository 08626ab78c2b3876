/**
 * Frames whose memory comes and goes: what an entry of the frame table says of that.
 */

/** Whether a frame can be given out. What cannot counts as used in the bitmap. */
export const FRAME = {
  online: 0,
  /** It goes offline when its owner gives it up. */
  offlining: 1,
  offline: 2,
} as const
export type FramePresence = typeof FRAME[keyof typeof FRAME]
