/**
 * The front of the log: where the oldest unreleased record stands, moved forward by releasing,
 * and the segments before it, which are removed.
 *
 * Invariant: the front never passes damage that nobody has looked at unless a record after it is
 * released, so no segment is removed with unread damage in it. All of it runs inside `consumer`.
 */

import { closeOpenFile, openScanner, passTornTail, pathIn } from "./log.ts";
import type { Front, Log } from "./log.ts";
import type { FrameStep } from "./scan.ts";
import { SEGMENT_HEADER_BYTES } from "./segment.ts";
import type { Segment } from "./segment.ts";

/** The front at the first frame of a segment. */
export function frontAt(segment: Segment, written_ms: number): Front {
  return { segment, offset: SEGMENT_HEADER_BYTES, released_count: 0, written_ms };
}

/**
 * Moves the front past everything released, reading headers only. Throws the system's error when
 * a segment cannot be read; the front then stays where it got to.
 */
export async function advanceFront(log: Log): Promise<void> {
  for (;;) {
    if (log.front === null) return;
    if (log.released_sequence >= log.synced_sequence) {
      log.front = null;
      return;
    }
    const { segment } = log.front;
    const end = segment.end;
    if (!isReleased(log, segment) && (await advanceInSegment(log, log.front))) return;
    // Appends may have been acknowledged while the headers were read.
    if (segment.end > end) continue;
    const next = segmentAfter(log, segment);
    log.front = next === null ? null : frontAt(next, log.front.written_ms);
  }
}

/** The next segment in the list, also when the one given is no longer in it. */
export function segmentAfter(log: Log, segment: Segment): Segment | null {
  const { first_sequence } = segment;
  return log.segments.find((other) => other.first_sequence > first_sequence) ?? null;
}

/** Known without reading: by what comes next, or because the segment is gone. */
function isReleased(log: Log, segment: Segment): boolean {
  if (!log.segments.includes(segment)) return true;
  const next = segmentAfter(log, segment);
  return next !== null && next.first_sequence - 1 <= log.released_sequence;
}

/** True when the front stands at something unreleased; false at the end of the segment. */
async function advanceInSegment(log: Log, from: Front): Promise<boolean> {
  const { segment } = from;
  const scanner = await openScanner(log, segment, from.offset);
  let unseen_damage: number | null = null;
  let { released_count, written_ms } = from;
  let frame: FrameStep | null = null;
  for (;;) {
    const step = await scanner.next();
    if (step.kind === "end") break;
    if (step.kind === "torn") await passTornTail(log, segment, step);
    if (step.kind === "damaged") unseen_damage ??= step.start;
    if (step.kind !== "frame") continue;
    frame = step;
    if (step.header.sequence > log.released_sequence) break;
    scanner.skip(step);
    frame = null;
    unseen_damage = null;
    released_count += 1;
  }
  written_ms = frame?.header.written_ms ?? written_ms;
  const offset = unseen_damage ?? scanner.position;
  log.front = { segment, offset, released_count, written_ms };
  return frame !== null || unseen_damage !== null;
}

/**
 * Removes the segments before the front; the one being written stays. A segment that cannot be
 * removed stays in the list and in the budget until the next time. Returns how many went.
 */
export async function removeReleased(log: Log): Promise<number> {
  for (let removed_count = 0; ; removed_count++) {
    const segment = log.segments[0];
    if (segment === undefined || segment === log.active || segment === log.front?.segment) {
      return removed_count;
    }
    if (log.open_file?.segment === segment) await closeOpenFile(log);
    try {
      await log.disk.remove(pathIn(log, segment.name));
    } catch {
      return removed_count;
    }
    log.segments.shift();
  }
}
