/**
 * RDRAND and RDSEED (AMD APM 3). Their service is made with a source of randomness.
 */
import { type Definition, define, row } from '../definition.ts'
import type { Service } from '../machine.ts'

const rdrand = define('rdrand', {
  encodings: [row('nfx 0f c7 /6 r', 'Rv').cpuid('rdrand')],
  flags: 'oszapc',
  service: 'random',
})

const rdseed = define('rdseed', {
  encodings: [row('nfx 0f c7 /7 r', 'Rv').cpuid('rdseed')],
  flags: 'oszapc',
  service: 'random',
})

/** The service `random`; `bits` gives 64 random bits, and never fails. */
export function randomService(bits: () => bigint): Service {
  const ARITHMETIC = 0x8d5n
  return (machine) => {
    machine.write(0, bits())
    // CF says that the number is good; the others are cleared.
    machine.flags = machine.flags & ~ARITHMETIC | 1n
  }
}

export const random: readonly Definition[] = [rdrand, rdseed]
