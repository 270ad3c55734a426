/**
 * Lays calls out as spans: one after the other below the span that holds them.
 *
 * Invariant: a child lies within its parent, and siblings do not overlap.
 */
import {
  answerCall,
  drawFailure,
  failCall,
  type FailureKind,
  type ObservedCall,
  type Workload,
} from "./calls.ts";
import { type Generation, responseIdPrefix } from "./dialects.ts";
import type { Visitor } from "./fleet.ts";
import type { Model } from "./models.ts";
import type { PlannedAttribute, PlannedSpan } from "./plan.ts";
import { drawLogNormal, type LogNormal, type Random } from "./random.ts";

/** An instrumentation: what spans are attributed to, and how it describes calls. */
export interface Instrumentation {
  readonly scope: PlannedSpan["scope"];
  readonly generation: Generation;
}

/** What a request is played with, and how many calls it may still make. */
export class Scene {
  readonly random: Random;
  readonly visitor: Visitor;
  #calls_left: number;

  constructor(random: Random, visitor: Visitor, max_calls: number) {
    this.random = random;
    this.visitor = visitor;
    this.#calls_left = max_calls;
  }

  /** Takes one call of those left; false when there is none. */
  takeCall(): boolean {
    if (this.#calls_left <= 0) return false;
    this.#calls_left -= 1;
    return true;
  }
}

/** Makes a call and, when it fails at once, tries again as clients do. Empty without calls left. */
export function attemptCall(scene: Scene, model: Model, workload: Workload): ObservedCall[] {
  return attempt(scene, model, workload, () => answerCall(scene.random, model, workload));
}

/** The same for a call whose answer is made by the caller. */
export function attempt(
  scene: Scene,
  model: Model,
  workload: Workload,
  answer: () => ObservedCall,
): ObservedCall[] {
  if (!scene.takeCall()) return [];
  const failure: FailureKind | null = drawFailure(scene.random);
  if (failure === null) return [answer()];
  const failed = failCall(scene.random, model, workload, failure);
  if (failure === "timeout" || !scene.takeCall()) return [failed];
  return [failed, answer()];
}

/** Whether the last of the attempts succeeded. */
export function succeeded(attempts: readonly ObservedCall[]): boolean {
  const last = attempts.at(-1);
  return last !== undefined && last.truth.failure === null;
}

/** The span of a call; its offset is set when it is laid out. */
export function callSpan(
  call: ObservedCall,
  { scope, generation }: Instrumentation,
  extra: readonly PlannedAttribute[],
): PlannedSpan {
  return {
    name: generation.nameSpan(call),
    kind: "client",
    scope,
    offset_ns: 0n,
    duration_ns: call.duration_ns,
    attributes: [...generation.describe(call), ...extra],
    response_id_prefix: responseIdPrefix(call),
    error_message: call.truth.failure?.message ?? null,
    call: call.truth,
    children: [],
  };
}

/** A span that is no model call. */
export function plainSpan(
  fields: Pick<PlannedSpan, "name" | "kind" | "scope" | "attributes"> & Partial<PlannedSpan>,
): PlannedSpan {
  return {
    offset_ns: 0n,
    duration_ns: 0n,
    response_id_prefix: null,
    error_message: null,
    call: null,
    children: [],
    ...fields,
  };
}

/** Own work of a service before, between and after what it waits for, ns. */
const OWN_WORK_NS: LogNormal = { median: 6_000_000, sigma: 0.8, maximum: 200_000_000 };
/** Clients wait about so long before they try again, ns. */
const RETRY_WAIT_NS: LogNormal = { median: 800_000_000, sigma: 0.3, maximum: 4_000_000_000 };

/** The parent with its children laid out in it one after the other. */
export function holdSpans(
  random: Random,
  parent: PlannedSpan,
  children: readonly PlannedSpan[],
): PlannedSpan {
  let end_ns = 0n;
  const placed: PlannedSpan[] = [];
  let previous: PlannedSpan | null = null;
  for (const child of children) {
    const wait = previous?.error_message == null ? OWN_WORK_NS : RETRY_WAIT_NS;
    const offset_ns = end_ns + drawNs(random, wait);
    placed.push({ ...child, offset_ns });
    end_ns = offset_ns + child.duration_ns;
    previous = child;
  }
  return { ...parent, children: placed, duration_ns: end_ns + drawNs(random, OWN_WORK_NS) };
}

/** A duration drawn, whole ns. */
export function drawNs(random: Random, distribution: LogNormal): bigint {
  return BigInt(Math.round(drawLogNormal(random, distribution)));
}
