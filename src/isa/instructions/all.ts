/**
 * Every instruction there is: the list that the decoder and all readings are made from.
 *
 * A family adds its import and its spread line here.
 */
import type { Definition } from '../definition.ts'

export const allInstructions: readonly Definition[] = [
]
