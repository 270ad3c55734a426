/**
 * What `GET /v1/usage` does beside adding up: pages, the largest groups with all others, the period
 * before, tags, days of a time zone, and rows as CSV, NDJSON and Parquet. The numbers are few and
 * counted by hand; `usage.property.test.ts` is for many.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UsageAnswer } from "../../schemas/api.ts";
import { SchemaAnswer } from "../../schemas/api-usage.ts";
import { Attributes, type Span } from "../../schemas/span.ts";
import { TOKEN_CLASSES } from "../../schemas/tokens.ts";
import { DIMENSION_NAMES, MEASURE_NAMES } from "../../schemas/usage.ts";
import { makeTestApi, readStrictly, type TestApi } from "../../test/support/api.ts";
import { openTestEngine, type TestEngine } from "../../test/support/engine.ts";
import { insertSpans } from "../../test/support/ledger.ts";
import { idBytes, makeSpan } from "../../test/support/span.ts";

let test_engine: TestEngine;
let api: TestApi;
let spans = 0;

/** A call of a model that costs so many cents, with tags. */
function call(time: string, model: string, cents: number, changes: Partial<Span> = {}): Span {
  spans += 1;
  const cost: (bigint | null)[] = TOKEN_CLASSES.map(() => null);
  const tokens: (number | null)[] = TOKEN_CLASSES.map(() => null);
  cost[0] = BigInt(cents) * 10_000_000_000n;
  tokens[0] = cents * 100;
  return makeSpan({
    project_id: "alpha",
    start_ns: BigInt(Date.parse(time)) * 1_000_000n,
    trace_id: idBytes(spans.toString(16).padStart(32, "0")),
    span_id: idBytes(spans.toString(16).padStart(16, "0")),
    request_model: model,
    response_model: "",
    tokens,
    cost,
    cost_status: "priced",
    price_id: "openai/x/standard/initial",
    ...changes,
  });
}

const team = (value: string) => ({ tags: new Attributes(["team"], [value]) });

beforeAll(async () => {
  test_engine = await openTestEngine();
  api = makeTestApi(test_engine.engine, { now_ms: () => Date.parse("2026-10-27T10:20:30.400Z") });
  await insertSpans(
    test_engine.engine,
    [
      // September: b was the dearest.
      call("2026-09-10T08:00:00Z", "a", 10),
      call("2026-09-11T08:00:00Z", "b", 500),
      // October.
      call("2026-10-10T08:00:00Z", "a", 300, { ...team("=HYPERLINK(1)"), user_id: "ann" }),
      call("2026-10-10T09:00:00Z", "a", 100, { ...team("search"), user_id: "ann" }),
      call("2026-10-10T09:30:00Z", "b", 200, { ...team("search"), user_id: "bob" }),
      call("2026-10-11T08:00:00Z", "c", 20, { ...team('say "hi",\nall'), user_id: "ann" }),
      call("2026-10-11T08:00:01Z", "d", 5, { user_id: "bob" }),
      call("2026-10-11T08:00:02Z", "e", 5, { user_id: "bob" }),
      // The last hour of the tenth in Berlin is on the ninth in UTC: 22:00 to 22:00.
      call("2026-10-11T22:30:00Z", "a", 1),
    ],
    1,
  );
});
afterAll(() => test_engine.close());

async function ask(query: string, status = 200): Promise<UsageAnswer> {
  const answer = await api.ask(`/v1/usage?${query}`);
  expect(answer.status, answer.text.slice(0, 300)).toBe(status);
  return readStrictly(UsageAnswer, answer.json);
}

function withoutCoverage(row: UsageAnswer["rows"][number]): object {
  const { coverage, ...rest } = row;
  expect(coverage.calls).toBe(rest.calls);
  return rest;
}

async function refusal(query: string): Promise<object> {
  const { status, json } = await api.ask(`/v1/usage?${query}`);
  const { error } = json as { error: { code: string; details: { path: string }[] } };
  return { status, code: error.code, path: error.details[0]?.path };
}

const OCTOBER = "from=2026-10-01&to=2026-11-01";

describe("pages", () => {
  const QUESTION = `${OCTOBER}&group_by=model&interval=day&measures=calls,cost_usd`;

  test("follow each other without a gap, and say the same totals", async () => {
    const whole = await ask(QUESTION);
    expect(
      whole.rows.map(({ time, model, calls, cost_usd }) => [time, model, calls, cost_usd]),
    ).toEqual([
      ["2026-10-10T00:00:00.000Z", "a", 2, "4"],
      ["2026-10-10T00:00:00.000Z", "b", 1, "2"],
      ["2026-10-11T00:00:00.000Z", "c", 1, "0.2"],
      ["2026-10-11T00:00:00.000Z", "d", 1, "0.05"],
      ["2026-10-11T00:00:00.000Z", "e", 1, "0.05"],
      ["2026-10-11T00:00:00.000Z", "a", 1, "0.01"],
    ]);
    for (const limit of [1, 2, 5]) {
      const rows: unknown[] = [];
      let cursor: string | null = "";
      while (cursor !== null) {
        const page: UsageAnswer = await ask(
          `${QUESTION}&limit=${limit}${cursor === "" ? "" : `&cursor=${cursor}`}`,
        );
        expect(page.rows.length).toBeLessThanOrEqual(limit);
        expect(page.totals).toEqual(whole.totals);
        rows.push(...page.rows);
        cursor = page.next_cursor;
      }
      expect(rows).toEqual(whole.rows);
    }
  });

  test("keep the range of the first page", async () => {
    const first = await ask("from=2026-10-01&group_by=model&limit=1");
    const later = makeTestApi(test_engine.engine, { now_ms: () => Date.parse("2026-12-24") });
    const { json } = await later.ask(
      `/v1/usage?from=2026-10-01&group_by=model&limit=1&cursor=${first.next_cursor}`,
    );
    expect(readStrictly(UsageAnswer, json)).toMatchObject({ from: first.from, to: first.to });
  });

  test("of another question, project or range, or made up, are refused", async () => {
    const { next_cursor } = await ask(`${QUESTION}&limit=1`);
    const refused = { status: 400, code: "invalid_cursor", path: "cursor" };
    const cursor = `&cursor=${next_cursor}`;
    for (const query of [
      QUESTION.replace("group_by=model", "group_by=provider"),
      QUESTION.replace("calls,cost_usd", "calls"),
      QUESTION.replace("interval=day", "interval=week"),
      `${QUESTION}&tz=Europe/Berlin`,
      `${QUESTION}&model=a`,
      `${QUESTION}&not_model=a`,
      `${QUESTION}&tag.team=a`,
      `${QUESTION}&top=1`,
      `${QUESTION}&compare=previous`,
      `${QUESTION}&order_by=calls`,
      QUESTION.replace("to=2026-11-01", "to=2026-11-02"),
    ]) {
      expect(await refusal(query + cursor), query).toEqual(refused);
    }
    const { status } = await api.ask(`/v1/usage?${QUESTION}${cursor}`, "key-beta");
    expect(status).toBe(400);
    for (const text of [
      "x",
      "W10",
      Buffer.from("[1,2]").toString("base64url"),
      `${next_cursor}A`,
    ]) {
      expect(await refusal(`${QUESTION}&cursor=${text}`), text).toEqual(refused);
    }
  });
});

describe("the largest groups", () => {
  test("are the same in every step, and one row adds up all others exactly", async () => {
    const { rows, totals } = await ask(
      `${OCTOBER}&group_by=model&interval=day&top=2&measures=calls,cost_usd,unique_users`,
    );
    expect(rows.map((row) => withoutCoverage(row))).toEqual([
      { time: "2026-10-10T00:00:00.000Z", model: "a", calls: 2, cost_usd: "4", unique_users: 1 },
      { time: "2026-10-10T00:00:00.000Z", model: "b", calls: 1, cost_usd: "2", unique_users: 1 },
      { time: "2026-10-11T00:00:00.000Z", model: "a", calls: 1, cost_usd: "0.01", unique_users: 0 },
      {
        time: "2026-10-11T00:00:00.000Z",
        is_other: true,
        model: null,
        calls: 3,
        cost_usd: "0.3",
        unique_users: 2,
      },
    ]);
    expect(totals).toMatchObject({ calls: 7, cost_usd: "6.31", unique_users: 2 });
  });

  test("have no others when they are all", async () => {
    const { rows } = await ask(`${OCTOBER}&group_by=model&top=9&measures=calls`);
    expect(rows).toHaveLength(5);
    expect(rows.some(({ is_other }) => is_other)).toBe(false);
  });

  test("are ranked by what is asked for, a value that is not known among them", async () => {
    const { rows } = await ask(`${OCTOBER}&group_by=tag.team&top=1&measures=calls`);
    expect(rows.map((row) => withoutCoverage(row))).toEqual([
      { "tag.team": null, calls: 3 },
      { is_other: true, "tag.team": null, calls: 4 },
    ]);
  });
});

test("a page is refused when the largest groups are no longer those of the first", async () => {
  const { engine } = test_engine;
  const beta = (time: string, model: string, cents: number) =>
    call(time, model, cents, { project_id: "beta" });
  const query = `/v1/usage?${OCTOBER}&group_by=model&top=1&limit=1&measures=cost_usd`;
  const askBeta = async (cursor: string) => {
    const { status, json } = await api.ask(query + cursor, "key-beta");
    return { status, json: json as UsageAnswer & { error?: { code: string } } };
  };
  await insertSpans(
    engine,
    [
      beta("2026-10-10T08:00:00Z", "large", 9),
      beta("2026-10-10T08:00:00Z", "small", 1),
      beta("2026-10-10T08:00:00Z", "smaller", 1),
    ],
    2,
  );
  const first = await askBeta("");
  expect(first.json.rows).toMatchObject([{ model: "large", cost_usd: "0.09" }]);
  const cursor = `&cursor=${first.json.next_cursor}`;
  const second = await askBeta(cursor);
  expect(second.json.rows).toMatchObject([{ is_other: true, cost_usd: "0.02" }]);
  await insertSpans(engine, [beta("2026-10-10T08:00:00Z", "larger", 99)], 3);
  const refused = await askBeta(cursor);
  expect([refused.status, refused.json.error?.code]).toEqual([400, "invalid_cursor"]);
});

describe("the period before", () => {
  test("of a month so far is the same part of the month before, row by row", async () => {
    const { rows, totals, previous } = await ask(
      "from=2026-10-01&to=2026-10-28&group_by=model&interval=month&measures=calls,cost_usd&compare=previous",
    );
    // Of the 27th, which goes on, as much as has passed: up to the end of the quarter of an hour.
    expect(previous).toEqual({ from: "2026-09-01T00:00:00.000Z", to: "2026-09-27T10:30:00.000Z" });
    expect(rows.map((row) => [row.model, row.cost_usd, row.previous?.cost_usd ?? null])).toEqual([
      ["a", "4.01", "0.1"],
      ["b", "2", "5"],
      ["c", "0.2", null],
      ["d", "0.05", null],
      ["e", "0.05", null],
    ]);
    expect(totals.previous).toMatchObject({ calls: 2, cost_usd: "5.1" });
  });

  test("of the row of all others is that of the same others", async () => {
    const { rows } = await ask(
      "from=2026-10-01&to=2026-10-28&group_by=model&interval=month&top=1&measures=cost_usd&compare=previous",
    );
    expect(rows.map((row) => [row.model, row.cost_usd, row.previous?.cost_usd])).toEqual([
      ["a", "4.01", "0.1"],
      [null, "2.3", "5"],
    ]);
  });

  test("is null when it had no calls", async () => {
    const { rows, totals } = await ask(
      "from=2026-10-10&to=2026-10-11&measures=calls&compare=previous",
    );
    expect(rows[0]?.previous).toBeNull();
    expect(totals.previous).toBeNull();
  });
});

describe("tags and exclusions", () => {
  test("tags filter and group, several values of one allow each", async () => {
    const one = await ask(`${OCTOBER}&tag.team=search&group_by=model&measures=calls`);
    expect(one.rows.map(({ model, calls }) => [model, calls])).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    const both = await ask(
      `${OCTOBER}&tag.team=search&tag.team=${encodeURIComponent("=HYPERLINK(1)")}&group_by=tag.team,user_id&measures=calls`,
    );
    expect(both.rows.map((row) => [row["tag.team"], row.user_id, row.calls])).toEqual([
      ["=HYPERLINK(1)", "ann", 1],
      ["search", "ann", 1],
      ["search", "bob", 1],
    ]);
    const without = await ask(`${OCTOBER}&tag.team=&measures=calls`);
    expect(without.totals.calls).toBe(3);
  });

  test("exclusions leave their values out and keep what is not known", async () => {
    const models = await ask(`${OCTOBER}&not_model=a&not_model=b&measures=calls`);
    expect(models.totals.calls).toBe(3);
    const users = await ask(`${OCTOBER}&not_user_id=ann&measures=calls`);
    expect(users.totals.calls).toBe(4);
    const tags = await ask(`${OCTOBER}&not_tag.team=search&measures=calls`);
    expect(tags.totals.calls).toBe(5);
  });
});

describe("ranges", () => {
  test("a day is one of the time zone of the question", async () => {
    const berlin = await ask("from=2026-10-11&to=2026-10-12&tz=Europe/Berlin&measures=calls");
    expect([berlin.from, berlin.to]).toEqual([
      "2026-10-10T22:00:00.000Z",
      "2026-10-11T22:00:00.000Z",
    ]);
    expect(berlin.totals.calls).toBe(3);
    const utc = await ask("from=2026-10-11&to=2026-10-12&measures=calls");
    expect(utc.totals.calls).toBe(4);
    const nepal = await ask("from=2026-10-11&to=2026-10-12&tz=Asia/Kathmandu&measures=calls");
    expect(nepal.from).toBe("2026-10-10T18:15:00.000Z");
  });

  test("without an end, questions of one minute are the same question", async () => {
    const { from, to } = await ask("measures=calls");
    expect([from, to]).toEqual(["2026-10-26T10:21:00.000Z", "2026-10-27T10:21:00.000Z"]);
  });
});

describe("files", () => {
  const QUESTION = `${OCTOBER}&group_by=model,tag.team&measures=calls,cost_usd,tokens&limit=4`;
  const fetchAs = async (accept: string, query = QUESTION) =>
    api.app.request(`/v1/usage?${query}`, { headers: { "x-api-key": "key-alpha", accept } });

  test("A18 CSV is RFC 4180, and no text of it is a formula", async () => {
    const response = await fetchAs("text/csv");
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    const [header = "", ...lines] = (await response.text()).split("\r\n");
    expect(header.split(",").slice(0, 5)).toEqual([
      "model",
      "tag.team",
      "calls",
      "cost_usd",
      "tokens_input_uncached",
    ]);
    expect(header).toMatch(/,tokens_output_image,coverage_calls,.*,coverage_tokens_priced_share$/);
    expect(lines.map((line) => line.split(",").slice(0, 5).join(","))).toEqual([
      "a,'=HYPERLINK(1),1,3,30000",
      "b,search,1,2,20000",
      "a,search,1,1,10000",
      'c,"say ""hi"",\nall",1,0.2',
      "",
    ]);
  });

  test("a file of no rows still names its columns", async () => {
    const response = await fetchAs("text/csv", `${QUESTION}&model=none`);
    expect(await response.text()).toMatch(/^model,tag\.team,calls,[^\r\n]*\r\n$/);
  });

  test("NDJSON is a row a line, the same as in JSON, and names the next page", async () => {
    const response = await fetchAs("application/x-ndjson");
    const rows = (await response.text()).trimEnd().split("\n");
    const json = await ask(QUESTION);
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual(json.rows);
    const [, next = ""] = /^<([^>]+)>; rel="next"$/.exec(response.headers.get("link") ?? "") ?? [];
    const last = await fetchAs("application/x-ndjson", next.replace(/^.*\?/, ""));
    expect((await last.text()).trimEnd().split("\n")).toHaveLength(3);
    expect(last.headers.get("link")).toBeNull();
  });

  test("Parquet has the same cells, each of its type", async () => {
    const question = `${OCTOBER}&group_by=model,tag.team&interval=month&measures=calls,cost_usd,cache_hit_share&top=1`;
    const response = await fetchAs("application/vnd.apache.parquet", question);
    expect(response.headers.get("content-type")).toBe("application/vnd.apache.parquet");
    const file = join(test_engine.directory, "usage.parquet");
    writeFileSync(file, new Uint8Array(await response.arrayBuffer()));
    const rows = await test_engine.engine.query(
      `SELECT *, toTypeName(cost_usd) AS money FROM file('${file}', 'Parquet')`,
    );
    expect(rows).toMatchObject([
      {
        time: "2026-10-01 00:00:00.000",
        is_other: false,
        model: "a",
        "tag.team": "=HYPERLINK(1)",
        calls: "1",
        cost_usd: "3",
        cache_hit_share: null,
        money: "Nullable(Decimal(38, 12))",
      },
      { is_other: true, model: null, "tag.team": null, calls: "6", cost_usd: "3.31" },
    ]);
  });

  test("a tag that cannot name a column of Parquet is told", async () => {
    const response = await fetchAs(
      "application/vnd.apache.parquet",
      `group_by=${encodeURIComponent("tag.a`) --")}`,
    );
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("ask for CSV or NDJSON");
  });

  test("what is preferred is given, JSON when nothing of ours is", async () => {
    const type = async (accept: string) => (await fetchAs(accept)).headers.get("content-type");
    expect(await type("text/csv;q=0.5, application/x-ndjson")).toBe("application/x-ndjson");
    expect(await type("text/html, text/csv;q=0, */*")).toMatch(/^application\/json/);
    expect(await type("image/png")).toMatch(/^application\/json/);
    expect(await type("TEXT/CSV")).toBe("text/csv; charset=utf-8");
  });
});

test("the schema names every measure and dimension with its unit and when it is null", async () => {
  const { status, json } = await api.ask("/v1/schema");
  expect(status).toBe(200);
  const { measures, dimensions } = readStrictly(SchemaAnswer, json);
  expect(measures.map(({ name }) => name)).toEqual(MEASURE_NAMES);
  expect(dimensions.map(({ name }) => name)).toEqual([...DIMENSION_NAMES, "tag.<key>"]);
  expect([...measures, ...dimensions].filter(({ null_when }) => null_when === "")).toEqual([]);
  const { rows } = await ask(`${OCTOBER}&measures=${MEASURE_NAMES.join(",")}`);
  const [row = {}] = rows as Record<string, unknown>[];
  for (const { name, fields } of measures) {
    const value = row[name];
    const inside = typeof value === "object" && value !== null ? Object.keys(value) : [];
    expect({ name, inside }).toEqual({ name, inside: fields });
  }
});
