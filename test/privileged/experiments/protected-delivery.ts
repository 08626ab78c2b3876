/**
 * Exceptions and interrupts in 32-bit protected mode: gates, stacks, double faults.
 */
import { experiment, type Experiment } from '../experiment.ts'

export const protectedDelivery: readonly Experiment[] = [
  experiment('nothing happens', ''),
  experiment('UD2', 'ud2'),
  experiment('user: UD2', 'USER\nud2'),
  experiment('a task', 'call TSS2_SEL:0'),
]
