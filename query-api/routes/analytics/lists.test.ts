/**
 * Lists of sessions, users, errors and models without a price against what was delivered: every row
 * once, whatever the page, with the sums of its own calls, of one project only.
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { z } from "zod";
import {
  ErrorsAnswer,
  LIST_MEASURES,
  SessionsAnswer,
  UnpricedAnswer,
  UsersAnswer,
} from "../../../schemas/api-lists.ts";
import type { Span } from "../../../schemas/span.ts";
import { formatTimestamp } from "../../../schemas/units.ts";
import { byClass, idBytes, makeSpan } from "../../../test/support/span.ts";
import {
  callCost,
  coverageTruth,
  dimensionOf,
  measureTruth,
} from "../../../test/support/usage-truth.ts";
import type { PriceLister } from "../../prices.ts";
import { type AnalyticsTest, END_MS, FROM_MS, NOW_MS, openAnalytics } from "./fixture.ts";

/** A book of two models, one of which has a price of input only. */
const PRICES: PriceLister = {
  priceOf: (price_id, name) =>
    price_id === "p'q" && name === "input_uncached" ? 1_000n : price_id === "p'q" ? null : 1n,
  findRow: (price_id) =>
    price_id === "anthropic/b,c/batch/2026-01-01"
      ? null
      : { price_id, tier: "standard", region: "", input_tokens_over: 0, picodollars_per_token: [] },
  listPrices: () => [],
  hasModel: ({ model }) => model === "gpt-4o-mini",
  listModels: () => [
    { provider: "openai", model: "gpt-4o-mini" },
    { provider: "anthropic", model: "claude-sonnet-4-5" },
    { provider: "vertex", model: "claude-sonnet-4" },
  ],
};

let ledger: AnalyticsTest;

beforeAll(async () => {
  ledger = await openAnalytics(23, 400, { prices: PRICES });
  // Reasons that random calls have too rarely.
  const start_ns = BigInt(NOW_MS - 7_200_000) * 1_000_000n;
  const none = { cost: byClass<bigint>({}), cost_status: "unpriced" as const, price_id: "" };
  const common = { project_id: "alpha", start_ns, ...none };
  await ledger.deliver([
    makeSpan({ ...common, request_model: "", response_model: "" }),
    makeSpan({ ...common, response_model: "", span_id: idBytes("00000000000000fe") }),
  ]);
});
afterAll(() => ledger.close());

function listTruth(calls: readonly Span[]): object {
  const starts = calls.map(({ start_ns }) => start_ns).toSorted((a, b) => (a < b ? -1 : 1));
  const models = calls.map((span) => dimensionOf(span, "model")).filter((name) => name !== "");
  return {
    ...measureTruth(calls, LIST_MEASURES),
    first_seen: formatTimestamp(starts[0] ?? 0n),
    last_seen: formatTimestamp(starts.at(-1) ?? 0n),
    models: sortBytes(models).slice(0, 20),
  };
}

function sortBytes(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Rows of all pages, and the coverage of each against its rows. */
async function readAll<Schema extends z.ZodType<{ next_cursor: string | null }>>(
  schema: Schema,
  path: string,
  key?: string,
): Promise<z.infer<Schema>[]> {
  const pages: z.infer<Schema>[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const suffix = cursor === "" ? "" : `&cursor=${cursor}`;
    const page: z.infer<Schema> = await ledger.read(schema, `${path}${suffix}`, key);
    pages.push(page);
    cursor = page.next_cursor;
  }
  return pages;
}

const RANK: Readonly<Record<string, (calls: readonly Span[]) => bigint>> = {
  cost: (calls) => calls.reduce((sum, span) => sum + (callCost(span) ?? 0n), 0n),
  calls: (calls) => BigInt(calls.length),
  last_seen: (calls) =>
    calls.reduce((max, span) => (span.start_ns > max ? span.start_ns : max), 0n),
};

describe.each([
  ["cost", "alpha", 7],
  ["calls", "beta", 11],
  ["last_seen", "alpha", 500],
] as const)("by %s", (order_by, project, limit) => {
  test(`users of ${project} come once each, the most first, with their own sums`, async () => {
    const path = `/v1/analytics/users?order_by=${order_by}&limit=${limit}`;
    const pages = await readAll(UsersAnswer, path, `key-${project}`);
    const calls = ledger.calls(project, FROM_MS, END_MS);
    const groups = Map.groupBy(calls, (span) => span.user_id);
    const rows = pages.flatMap(({ users }) => users);
    expect(rows.map(({ user_id }) => user_id).toSorted()).toEqual(
      [...groups.keys()].filter((id) => id !== "").toSorted(),
    );
    for (const { user_id, sessions, ...row } of rows) {
      const own = groups.get(user_id) ?? [];
      expect(row).toEqual(listTruth(own));
      const named = new Set(own.map((span) => span.session_id).filter((id) => id !== ""));
      expect(sessions).toBe(named.size);
    }
    const ranks = rows.map(({ user_id }) => RANK[order_by]?.(groups.get(user_id) ?? []) ?? 0n);
    expect(ranks).toEqual(ranks.toSorted((a, b) => (a > b ? -1 : a < b ? 1 : 0)));
    for (const page of pages) {
      const own = page.users.flatMap(({ user_id }) => groups.get(user_id) ?? []);
      expect(page.coverage).toEqual(coverageTruth(own));
      expect(page.without_user).toEqual(listTruth(groups.get("") ?? []));
    }
  });
});

test("sessions have their users and last until the end of their last call", async () => {
  const pages = await readAll(SessionsAnswer, "/v1/analytics/sessions?limit=40&provider=openai");
  const calls = ledger
    .calls("alpha", FROM_MS, END_MS)
    .filter(({ provider }) => provider === "openai");
  const groups = Map.groupBy(calls, (span) => span.session_id);
  const rows = pages.flatMap(({ sessions }) => sessions);
  expect(rows.length).toBe(groups.size - (groups.has("") ? 1 : 0));
  for (const { session_id, user_ids, duration_ns, ...row } of rows) {
    const own = groups.get(session_id) ?? [];
    expect(row).toEqual(listTruth(own));
    expect(user_ids).toEqual(
      sortBytes(own.map(({ user_id }) => user_id).filter((id) => id !== "")),
    );
    const ends = own.map((span) => span.start_ns + span.duration_ns);
    const first = own.reduce((min, span) => (span.start_ns < min ? span.start_ns : min), 2n ** 63n);
    const last = ends.reduce((max, end) => (end > max ? end : max), 0n);
    expect(duration_ns).toBe(Number(last - first));
  }
});

test("a cursor is good for its own range and order only", async () => {
  const page = await ledger.read(UsersAnswer, "/v1/analytics/users?limit=1");
  const cursor = page.next_cursor ?? "";
  for (const query of [
    `cursor=${cursor}&order_by=calls`,
    `cursor=${cursor}&from=2026-10-01`,
    `cursor=${cursor.slice(0, -2)}`,
    "cursor=MTox",
  ]) {
    const { status, json } = await ledger.api.ask(`/v1/analytics/users?${query}`);
    expect([query, status]).toEqual([query, 400]);
    expect(json).toMatchObject({ error: { code: "invalid_cursor" } });
  }
});

describe("errors", () => {
  const failure = (minutes_ago: number, changes: Partial<Span>): Span =>
    makeSpan({
      project_id: "alpha",
      start_ns: BigInt(NOW_MS - minutes_ago * 60_000) * 1_000_000n,
      span_id: idBytes((minutes_ago + 4096).toString(16).padStart(16, "0")),
      trace_id: idBytes((minutes_ago + 1).toString(16).padStart(32, "0")),
      status: "error",
      error_type: "rate_limit",
      http_status: 429,
      service_name: "limits",
      ...changes,
    });
  const message = (id: string, wait: string) =>
    `Limit of 'gpt-4o-mini' reached for org-${id}:\n try again in ${wait}s (a.b@example.org)`;

  beforeAll(async () => {
    await ledger.deliver([
      failure(1, { user_id: "u1", status_message: message("a1b2", "1.5") }),
      failure(2, { user_id: "u2", status_message: message("zz9", "20") }),
      failure(3, { user_id: "u2", status_message: message("zz9", "3"), service_name: "other" }),
      failure(4, { status_message: message("q0", "4") }),
      // In the range before.
      failure(90, { user_id: "u3", status_message: message("q7", "4") }),
      failure(5, { error_type: "timeout", http_status: 0, user_id: "u4" }),
      failure(6, { project_id: "beta", user_id: "u9", status_message: message("q0", "4") }),
      failure(7, { status: "ok" }),
      // Of this day, and of the day before until the same time and after it.
      failure(10, { error_type: "now", service_name: "since" }),
      failure(11, { error_type: "before", service_name: "since" }),
      failure(1710, { error_type: "before", service_name: "since" }),
      failure(12, { error_type: "between", service_name: "since" }),
      failure(1110, { error_type: "between", service_name: "since" }),
    ]);
  });

  test("are grouped by what failed, with samples, users and the range before", async () => {
    const range = `from=${new Date(NOW_MS - 3_600_000).toISOString()}&to=${new Date(NOW_MS).toISOString()}`;
    const answer = await ledger.read(
      ErrorsAnswer,
      `/v1/analytics/errors?${range}&service_name=limits&service_name=other`,
    );
    const text = "Limit of # reached for #: try again in # #";
    const parts = ["openai", "gpt-4o-mini-2024-07-18", "chat", "rate_limit", 429, text];
    const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
    const at = (minutes_ago: number) =>
      formatTimestamp(BigInt(NOW_MS - minutes_ago * 60_000) * 1_000_000n);
    expect(answer).toMatchObject({ calls: 6, errors: 5, previous: { calls: 1, errors: 1 } });
    expect(answer.groups).toEqual([
      {
        fingerprint: hash.slice(0, 16),
        provider: "openai",
        model: "gpt-4o-mini-2024-07-18",
        operation: "chat",
        error_type: "rate_limit",
        http_status: 429,
        message: text,
        calls: 4,
        calls_before: 1,
        is_new: false,
        first_seen: at(4),
        last_seen: at(1),
        users: 2,
        services: ["limits", "other"],
        sample_trace_ids: [2, 3, 4].map((number) => number.toString(16).padStart(32, "0")),
      },
      expect.objectContaining({
        error_type: "timeout",
        http_status: null,
        message: null,
        calls: 1,
        calls_before: 0,
        is_new: true,
        users: 1,
      }),
    ]);
  });

  test("of a day that goes on are new only when none came since the day before began", async () => {
    const answer = await ledger.read(
      ErrorsAnswer,
      "/v1/analytics/errors?from=2026-10-23&to=2026-10-24&service_name=since",
    );
    expect(answer.previous).toEqual({
      from: "2026-10-22T00:00:00.000Z",
      to: "2026-10-22T14:45:00.000Z",
      calls: 1,
      errors: 1,
    });
    const kinds = answer.groups.map(({ error_type, calls, calls_before, is_new }) => [
      error_type,
      { calls, calls_before, is_new },
    ]);
    expect(Object.fromEntries(kinds)).toEqual({
      before: { calls: 1, calls_before: 1, is_new: false },
      between: { calls: 1, calls_before: 0, is_new: false },
      now: { calls: 1, calls_before: 0, is_new: true },
    });
  });

  test("sum up to the failed calls, of one project only", async () => {
    for (const project of ["alpha", "beta"]) {
      const path = "/v1/analytics/errors?limit=500&order_by=last_seen";
      const answer = await ledger.read(ErrorsAnswer, path, `key-${project}`);
      const calls = ledger.calls(project, FROM_MS, END_MS);
      const failed = calls.filter(({ status }) => status === "error");
      expect(answer.errors).toBe(failed.length);
      expect(answer.groups.reduce((sum, group) => sum + group.calls, 0)).toBe(failed.length);
      expect(answer.coverage).toEqual(coverageTruth(calls));
      expect(new Set(answer.groups.map(({ fingerprint }) => fingerprint)).size).toBe(
        answer.groups.length,
      );
    }
  });
});

describe("models without a price", () => {
  test("are those of the calls without one, each with the reason", async () => {
    const answer = await ledger.read(UnpricedAnswer, "/v1/analytics/models/unpriced?limit=500");
    const calls = ledger.calls("alpha", FROM_MS, END_MS);
    const unpriced = calls.filter((span) => span.cost_status !== "priced");
    expect(answer.calls_unpriced).toBe(unpriced.length);
    expect(answer.models.reduce((sum, model) => sum + model.calls, 0)).toBe(unpriced.length);
    for (const row of answer.models) {
      const own = calls.filter(
        (span) =>
          span.provider === (row.provider ?? "") &&
          dimensionOf(span, "model") === (row.model ?? "") &&
          span.request_model === (row.request_model ?? "") &&
          span.price_id === (row.price_id ?? ""),
      );
      expect(row.calls).toBe(own.filter((span) => span.cost_status !== "priced").length);
      expect(row.reason).toBe(reasonOf(row, own));
    }
    const reasons = new Set(answer.models.map(({ reason }) => reason));
    expect([...reasons].toSorted()).toEqual([
      "book_changed",
      "no_class_price",
      "no_model",
      "no_row",
      "unknown_model",
      "usage_missing",
    ]);
  });

  /** By the rules of the book above. */
  function reasonOf(row: UnpricedAnswer["models"][number], own: readonly Span[]): string {
    if (row.price_id !== null) {
      return row.price_id.startsWith("anthropic") ? "book_changed" : "no_class_price";
    }
    if (own.every((span) => span.tokens.every((count) => count === null))) return "usage_missing";
    const names = [row.model, row.request_model].filter((name) => name !== null);
    if (names.length === 0) return "no_model";
    return names.includes("gpt-4o-mini") ? "no_row" : "unknown_model";
  }

  test("are given similar names as hints, those of their provider first", async () => {
    await ledger.deliver([
      makeSpan({
        project_id: "alpha",
        start_ns: BigInt(NOW_MS - 1000) * 1_000_000n,
        span_id: idBytes("00000000000000ff"),
        provider: "anthropic",
        request_model: "claude-sonnet-4-7",
        response_model: "",
        cost: byClass({}),
        cost_status: "unpriced",
        price_id: "",
      }),
    ]);
    const answer = await ledger.read(
      UnpricedAnswer,
      "/v1/analytics/models/unpriced?model=claude-sonnet-4-7",
    );
    expect(answer.models).toHaveLength(1);
    expect(answer.models[0]?.nearest.map(({ provider, model }) => `${provider}/${model}`)).toEqual([
      "anthropic/claude-sonnet-4-5",
      "vertex/claude-sonnet-4",
    ]);
  });
});
