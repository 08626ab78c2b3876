/**
 * The programs: all experiments by the mode they start in.
 */
import type { Mode } from './assemble.ts'
import type { Experiment } from './experiment.ts'
import { longControl } from './experiments/long-control.ts'
import { longDebug } from './experiments/long-debug.ts'
import { longDelivery } from './experiments/long-delivery.ts'
import { longExceptions } from './experiments/long-exceptions.ts'
import { longHot } from './experiments/long-hot.ts'
import { longMisc } from './experiments/long-misc.ts'
import { longPaging } from './experiments/long-paging.ts'
import { longSegments } from './experiments/long-segments.ts'
import { longStrings } from './experiments/long-strings.ts'
import { longTransfers } from './experiments/long-transfers.ts'
import { protectedDelivery } from './experiments/protected-delivery.ts'
import { protectedMemory } from './experiments/protected-memory.ts'
import { protectedTasks } from './experiments/protected-tasks.ts'
import { protectedTransfers } from './experiments/protected-transfers.ts'
import { protectedV86 } from './experiments/protected-v86.ts'
import { realMode } from './experiments/real-mode.ts'

export const programs: Readonly<Record<Mode, readonly Experiment[]>> = {
  long: [
    ...longExceptions, ...longDelivery, ...longTransfers, ...longSegments, ...longControl,
    ...longPaging, ...longDebug, ...longMisc, ...longHot, ...longStrings,
  ],
  protected: [
    ...protectedDelivery, ...protectedTasks, ...protectedV86, ...protectedTransfers,
    ...protectedMemory,
  ],
  real: [...realMode],
}
