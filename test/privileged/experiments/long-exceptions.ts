/**
 * Exceptions and interrupts in long mode.
 */
import { experiment, type Experiment } from '../experiment.ts'

export const longExceptions: readonly Experiment[] = [
  experiment('nothing happens', ''),
  experiment('a division by zero is #DE at the instruction', 'xor ecx, ecx\ndiv ecx'),
  experiment('UD2 is #UD', 'ud2'),
  experiment('user: UD2 changes stacks', 'USER64\nud2'),
  experiment('INT n of a closed gate is #GP from the user', 'USER64\nint 0x20'),
  experiment('a fault without a handler and without #DF is a shutdown',
    'lidt [1f]\nud2\n1: .word 0\n.quad 0'),
  experiment('the experiment after a shutdown', 'mov eax, 1'),
]
