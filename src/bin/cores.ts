/**
 * Starts a machine's cores: each a worker thread that runs vcpus.
 */
import type { StartCores } from './machine.ts'

/** No core yet: domains can be made and looked at, and wait. */
export const startCores: StartCores = async () => ({ stop: async () => {} })
