/**
 * Makes the traffic: requests of all kinds, one after the other, until the calls asked for are made.
 *
 * Invariant: a pure function of its arguments; the same seed, number and window give the same
 * traces, and exactly the number of calls asked for.
 */
import { drawDeployment, Visitors } from "./fleet.ts";
import { type Deployment, type PlannedSpan, type PlannedTrace, walkSpans } from "./plan.ts";
import { drawWeighted, type Random, seedRandom } from "./random.ts";
import { SCENARIOS } from "./scenarios.ts";
import { makeSchedule } from "./schedule.ts";
import { Scene } from "./spans.ts";

/** A request that has no time yet. */
export interface DemoRequest {
  readonly deployment: Deployment;
  readonly root: PlannedSpan;
  /** Model calls it makes, at least 1. */
  readonly calls: number;
}

/** An endless source of requests. */
export class RequestSource {
  readonly #random: Random;
  readonly #visitors: Visitors;
  #played = 0;

  constructor(seed: number) {
    this.#random = seedRandom(seed);
    this.#visitors = new Visitors(this.#random);
  }

  /** The next request, of at most so many calls (at least 1). */
  next(max_calls: number): DemoRequest {
    // Each kind once first, so that a short demo shows all of them.
    const drawn = drawWeighted(this.#random, SCENARIOS);
    const scenario = SCENARIOS[this.#played] ?? drawn;
    this.#played += 1;
    const scene = new Scene(this.#random, this.#visitors.next(), Math.max(1, max_calls));
    const root = scenario.play(scene);
    const deployment = drawDeployment(this.#random, scenario.service_name);
    if (root === null) throw new Error("a scenario made no call although one was left to it");
    return { deployment, root, calls: countCalls(root) };
  }
}

function countCalls(root: PlannedSpan): number {
  let calls = 0;
  for (const span of walkSpans(root)) if (span.call !== null) calls += 1;
  return calls;
}

/** What history to make. */
export interface TrafficOptions {
  readonly seed: number;
  /** Model calls in all. */
  readonly calls: number;
  readonly minutes: number;
  /** End of the window, Unix ms; no span ends later. */
  readonly end_ms: number;
}

/** Makes a window full of traffic, in order of time. */
export function* generateTraffic(options: TrafficOptions): Generator<PlannedTrace> {
  const { seed, calls, minutes, end_ms } = options;
  const source = new RequestSource(seed);
  // Its own chance: a longer window must not change what is sent in it.
  const random = seedRandom(seed ^ 0x5eed);
  const schedule = makeSchedule(random, end_ms - minutes * 60_000, minutes);
  const end_ns = BigInt(end_ms) * 1_000_000n;
  for (let made = 0; made < calls;) {
    const request = source.next(calls - made);
    const share = (made + random() * request.calls) / calls;
    const wanted_ns = BigInt(Math.floor(schedule(share) * 1_000_000));
    yield placeRequest(request, wanted_ns, end_ns);
    made += request.calls;
  }
}

/** Starts the request then, or as much earlier as it takes to be over at the end. */
export function placeRequest(
  { deployment, root }: DemoRequest,
  start_ns: bigint,
  end_ns: bigint,
): PlannedTrace {
  const latest_ns = end_ns - root.duration_ns;
  return { deployment, root, start_ns: start_ns < latest_ns ? start_ns : latest_ns };
}
