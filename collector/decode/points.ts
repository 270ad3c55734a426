/**
 * Judges data points and what metrics say of them, by the same rules for both encodings.
 *
 * Invariant: a number point without a problem has a value, or says that it has none.
 */
import type { DecodedPoint, Temporality } from "../../schemas/metrics.ts";
import type { Notes } from "./notes.ts";
import { addWarning, REJECTIONS, WARNINGS } from "./notes.ts";

/** The bit of a point's flags that says that it has no value (metrics.proto DataPointFlags). */
export const NO_RECORDED_VALUE = 1;

/** Says what is wrong with the point, or undefined. */
export function findPointProblem(point: DecodedPoint): string | undefined {
  const isMissing = point.kind === "number" && point.value === null && !point.no_recorded_value;
  return isMissing ? REJECTIONS.point_value : undefined;
}

/** The temporality of the number; one that OTLP does not know is none, with a warning. */
export function keepTemporality(notes: Notes, number: number): Temporality {
  if (number === 0 || number === 1 || number === 2) return number;
  addWarning(notes, WARNINGS.temporality);
  return 0;
}
