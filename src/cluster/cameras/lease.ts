// How a lease is kept: what a worker and the leader have in common.

/** Messages within a lease. */
export const MESSAGES = 3;
/** The share of a lease after which whoever is cut off stops: others wait for all of it. */
export const KEEP = 0.9;

/** Milliseconds to wait for the answer to a message. @param lease in seconds */
export const answerTime = (lease: number): number => Math.max(200, 500 * lease);
