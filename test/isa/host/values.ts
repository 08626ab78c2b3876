/**
 * Values at the edges: integers, and floating-point numbers of all three widths as bits.
 */

export const integers: readonly bigint[] = [
  0n, 1n, 2n, 3n, 0x7fn, 0x80n, 0x81n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n,
  0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n, 0x7fffffffffffffffn,
  0x8000000000000000n, 0x8000000000000001n, 0xffffffffffffffffn, 0xfffffffffffffffen,
  0xffffffff80000000n, 0xffffffffffff8000n, 0xffffffffffffff80n, 0x0f0f0f0f0f0f0f0fn,
  0x8080808080808080n, 0x7fff80007fff8000n, 0x5555555555555555n, 0xaaaaaaaaaaaaaaaan,
]

function bitsOf64(value: number): bigint {
  return new BigUint64Array(new Float64Array([value]).buffer)[0]!
}

function bitsOf32(value: number): number {
  return new Uint32Array(new Float32Array([value]).buffer)[0]!
}

const numbers = [
  0, -0, 1, -1, 1.5, -1.5, 2, 0.5, 0.1, 3, 10, -7.75, 2 ** 31, -(2 ** 31), 2 ** 31 - 1, 2 ** 32,
  2 ** 63, -(2 ** 63), 2 ** 51 - 0.5, -(2 ** 51), 2 ** 31 - 0.5, 1e10, 1e-10, 1e38, 1e-38,
  16777217, 255.5, -32768.5, Infinity, -Infinity,
]

/** Quiet and signalling NaNs, the smallest and largest denormals and normals. */
export const float64s: readonly bigint[] = [
  ...numbers.map(bitsOf64), bitsOf64(1e300), bitsOf64(1e-300), bitsOf64(2 ** 52 + 0.5),
  0x7ff8000000000000n, 0xfff8000000000001n, 0x7ff0000000000001n, 0xfff4000000000000n,
  0x7ff7ffffffffffffn, 0x0000000000000001n, 0x800fffffffffffffn, 0x0010000000000000n,
  0x7fefffffffffffffn, 0x3fefffffffffffffn, 0x3ff0000000000001n, 0x36a0000000000000n,
]

export const float32s: readonly number[] = [
  ...numbers.map(bitsOf32),
  0x7fc00000, 0xffc00001, 0x7f800001, 0xffa00000, 0x7fbfffff, 0x00000001, 0x807fffff, 0x00800000,
  0x7f7fffff, 0x3f7fffff, 0x3f800001, 0x4b000001,
]

/** Sign with exponent, and significand; some are pseudo-denormal or unsupported. */
export const float80s: readonly (readonly [number, bigint])[] = [
  [0, 0n], [0x8000, 0n], [0x3fff, 1n << 63n], [0xbfff, 1n << 63n], [0x4000, 0xc000000000000000n],
  [0x3ffe, 0xffffffffffffffffn], [0x3fff, 0x8000000000000001n], [0x7fff, 1n << 63n],
  [0xffff, 1n << 63n], [0x7fff, 0xc000000000000000n], [0xffff, 0xc000000000000001n],
  [0x7fff, 0x8000000000000001n], [0xffff, 0xa000000000000000n], [0, 1n],
  [0x8000, 0x7fffffffffffffffn], [0, 1n << 63n], [1, 1n << 63n], [0x7ffe, 0xffffffffffffffffn],
  [0x403e, 1n << 63n], [0xc03e, 1n << 63n], [0x401e, 0xffffffff00000000n], [0x3f80, 1n << 63n],
  [0x4005, 0xc900000000000000n], [0x3fff, 0xb504f333f9de6484n], [0x4000, 0xc90fdaa22168c235n],
  [0x4001, 1n << 62n], [0x7fff, 0n], [0x3ffd, 0xaaaaaaaaaaaaaaabn],
]
