/**
 * A ledger of two projects for the tests of this folder, and the truth about it.
 *
 * Invariant: the truth is folded from the delivered spans and reads nothing of the engine.
 */
import type { z } from "zod";
import type { Engine } from "../../../clickhouse/engine.ts";
import { Recompute } from "../../../collector/recompute/recompute.ts";
import type { Span } from "../../../schemas/span.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../../test/support/api.ts";
import { openTestEngine } from "../../../test/support/engine.ts";
import { insertSpans, LedgerModel } from "../../../test/support/ledger.ts";
import { makeRandomSpan } from "../../../test/support/random-span.ts";
import { makeRandom } from "../../../test/support/random.ts";
import type { AppOptions } from "../../app.ts";

/** The clock of the tests: a Friday. */
export const NOW_MS = Date.UTC(2026, 9, 23, 14, 30, 30);
const DAY_MS = 86_400_000;
/** The days of which there are spans, before `NOW_MS`: each is a partition and costs time. */
const DAYS_AGO = [0, 12, 28, 29, 52];

export interface AnalyticsTest {
  readonly engine: Engine;
  readonly api: TestApi;
  readonly model: LedgerModel;
  /** Delivers spans, each a second time too. */
  deliver(spans: readonly Span[]): Promise<void>;
  /** The calls of a project that start in a range, Unix ms. */
  calls(project_id: string, from_ms: number, to_ms: number): Span[];
  /** The answer to a path, which must be good. */
  read<Schema extends z.ZodType>(
    schema: Schema,
    path: string,
    key?: string,
    init?: RequestInit,
  ): Promise<z.infer<Schema>>;
  close(): Promise<void>;
}

/** Opens an engine with random spans of some days before `NOW_MS`, of the projects alpha and beta. */
export async function openAnalytics(
  seed: number,
  count: number,
  changes: Partial<AppOptions> = {},
): Promise<AnalyticsTest> {
  const test_engine = await openTestEngine();
  const { engine } = test_engine;
  const api = makeTestApi(engine, { now_ms: () => NOW_MS, ...changes });
  const model = new LedgerModel();
  let sequence = 0;
  const deliver = async (spans: readonly Span[]) => {
    for (let time = 0; time < 2; time += 1) {
      sequence += 1;
      model.deliver(spans);
      await insertSpans(engine, spans, sequence);
    }
  };
  const random = makeRandom(seed);
  const spans = Array.from({ length: count }, () => {
    const start_ms = NOW_MS - Math.floor((random.pick(DAYS_AGO) + random.next()) * DAY_MS);
    const start_ns = BigInt(start_ms) * 1_000_000n + BigInt(random.whole(1_000_000));
    return makeRandomSpan(random, random.chance(0.7) ? "alpha" : "beta", start_ns);
  });
  await deliver(spans);
  return {
    engine,
    api,
    model,
    deliver,
    calls: (project_id, from_ms, to_ms) =>
      model
        .calls()
        .filter(
          (span) =>
            span.project_id === project_id &&
            span.start_ns >= BigInt(from_ms) * 1_000_000n &&
            span.start_ns < BigInt(to_ms) * 1_000_000n,
        ),
    async read(schema, path, key, init) {
      const { status, text, json } = await api.ask(path, key, init);
      if (status !== 200) throw new Error(`${path} answered ${status}: ${text.slice(0, 500)}`);
      return readStrictly(schema, json);
    },
    close: () => test_engine.close(),
  };
}

/** Computes the rollups; what is delivered later is read from the calls. */
export async function computeRollups({ engine }: AnalyticsTest): Promise<void> {
  await new Recompute(engine, {
    interval_ms: 10,
    max_buckets: 2_000,
    day_interval_ms: 10_000,
    now_ms: Date.now,
    observe: () => {},
  }).drain();
}

/** The range that is answered when none is asked for: 30 days of UTC, up to the end of the quarter. */
export const FROM_MS = Date.UTC(2026, 8, 24);
export const END_MS = Date.UTC(2026, 9, 23, 14, 45);
