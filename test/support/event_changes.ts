// Changes of events, and their lines in a log.
import type { CameraEvent, ChangeKind, EventChange } from "../../src/server/records.js";

/** A change at a time of 30 November 2026, or at a whole time. */
export function changeOf(
  id: string,
  time = "14:15:02",
  change: ChangeKind = "new",
  more: Partial<CameraEvent> = {},
): EventChange {
  const whole = time.includes("T") ? time : `2026-11-30T${time}.000Z`;
  return { change, time: whole, event: { id, camera: "front", kind: "anomaly", start: whole, zones: [], ...more } };
}

/** A change as a line of a log. */
export const lineOf = (change: EventChange) => `${JSON.stringify(change)}\n`;
