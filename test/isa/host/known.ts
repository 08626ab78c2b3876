/**
 * Differences between our semantics and the host CPU that are known, with their reasons.
 */

interface Known {
  readonly name: RegExp
  readonly text: RegExp
  readonly reason: string
  /** How far apart the results in x87 registers may be, in units of the last place. */
  readonly farthest?: bigint
}

/** The status word (C1 and the inexact flag tell how a result was rounded) and x87 registers. */
const FLOAT_RESULT = /^(?:(?:status \w+ for \w+|st[01] \w{20} for \w{20})(?:, |$))+$/

const known: readonly Known[] = [
  {
    name: /^call$/, text: /^vector 13 for 14$/,
    reason: 'the stack is looked at before the target; we look at the target first',
  },
  {
    name: /^(push|pusha|call|enter|pop|popa|ret|leave)$/, text: /^vector 14 for 13$/,
    reason: 'the reference reading knows no segment limits, which stacks meet at the top of 4 GiB',
  },
  {
    name: /^(fxsave|fnsave|fnstenv)$/, text: /^memory/,
    reason: 'the pointers to the last x87 instruction are of the harness',
  },
  {
    name: /^(fsin|fcos|fsincos|fptan|fpatan|f2xm1|fyl2x)$/, text: FLOAT_RESULT,
    reason: 'transcendental functions may err in the last place (AMD APM 1, 6.5.2)',
    farthest: 1n,
  },
  {
    name: /^fyl2xp1$/, text: FLOAT_RESULT,
    reason: 'as the others, and undefined outside -(1 - sqrt(1/2)) to sqrt(2) - 1',
  },
  {
    name: /^fxrstor$/, text: /^vector (13|-1) for 14$/,
    reason: 'which bytes are read first is not architectural',
  },
  {
    name: /^popa$/, text: /^vector 14 for 13$/,
    reason: 'which of the eight words is looked at first is not architectural',
  },
  {
    name: /^(fxrstor|v?ldmxcsr)$/, text: /^vector 13 for -1$/,
    reason: 'MXCSR.MM exists on the host, and not on a CPU without misaligned SSE mode',
  },
  {
    name: /^vmovddup$/, text: /^vector 14 for -1$/,
    reason: 'Zen 1 (family 17h) reads of 256 bits only what it duplicates; later ones read all',
  },
]

/** An 80-bit number's place among all: the explicit integer bit taken out. */
function placeOf(digits: string): bigint {
  const bits = BigInt(`0x${digits}`)
  return bits >> 64n << 63n | bits & (1n << 63n) - 1n
}

function withinReach(text: string, farthest: bigint): boolean {
  for (const [, ours, hosts] of text.matchAll(/st\d (\w{20}) for (\w{20})/g)) {
    const distance = placeOf(ours!) - placeOf(hosts!)
    if (distance > farthest || distance < -farthest) return false
  }
  return true
}

/** Why a difference is accepted, if it is. */
export function acceptedReason(name: string, text: string): string | undefined {
  return known.find((entry) => entry.name.test(name) && entry.text.test(text)
    && (entry.farthest === undefined || withinReach(text, entry.farthest)))?.reason
}
