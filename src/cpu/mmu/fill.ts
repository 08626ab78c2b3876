/** What a walk tells the TLBs of a page, beside PageSize. */
export const Fill = {
  /** Stores may go through the table for stores. */
  WRITABLE: 1,
  /** Into the tables of user accesses. */
  USER: 2,
  GLOBAL: 4,
  // 8 and 16 are PageSize.
} as const
