/**
 * The programs: all experiments by the mode they start in.
 */
import type { Mode } from './assemble.ts'
import type { Experiment } from './experiment.ts'
import { longDelivery } from './experiments/long-delivery.ts'
import { longExceptions } from './experiments/long-exceptions.ts'
import { longTransfers } from './experiments/long-transfers.ts'

export const programs: Readonly<Record<Mode, readonly Experiment[]>> = {
  long: [...longExceptions, ...longDelivery, ...longTransfers],
  protected: [],
  real: [],
}
