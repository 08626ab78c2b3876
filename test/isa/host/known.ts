/**
 * Differences between our semantics and the host CPU that are known, with their reasons.
 */

interface Known {
  readonly name: RegExp
  readonly text: RegExp
  readonly reason: string
}

const known: readonly Known[] = [
  {
    name: /^call$/, text: /^vector 13 for 14$/,
    reason: 'the stack is looked at before the target; we look at the target first',
  },
  {
    name: /^(push|pusha|call|enter|pop)$/, text: /^vector 14 for 13$/,
    reason: 'the reference reading knows no segment limits, which stacks meet at the top of 4 GiB',
  },
  {
    name: /^(fxsave|fnsave|fnstenv)$/, text: /^memory/,
    reason: 'the pointers to the last x87 instruction are of the harness',
  },
  {
    name: /^fxrstor$/, text: /^vector (13|-1) for 14$/,
    reason: 'which bytes are read first is not architectural',
  },
]

/** Why a difference is accepted, if it is. */
export function acceptedReason(name: string, text: string): string | undefined {
  return known.find((entry) => entry.name.test(name) && entry.text.test(text))?.reason
}
