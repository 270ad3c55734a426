/**
 * `explain` against the captures of the two clients whose dialects came first: the rows must say
 * what the fake provider's own log says (`<case>.expect.json`), and where the telemetry does not
 * hold a number, the row must say so instead of inventing one.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { CallRow } from "../schemas/call.ts";
import { encodeTraceRequest, type OtlpSpan } from "../test/support/otlp-proto.ts";
import { explainBodies, runExplain } from "./explain.ts";

const CAPTURES = fileURLToPath(new URL("../test/captures/", import.meta.url));
const OWN_CAPTURES = fileURLToPath(new URL("../test/captures/", import.meta.url));
const CLIENTS = ["otel-instrumentation-openai-0.22.0", "anthropic-sdk-native-1.11.0"];

/** The part of expect.json that is used: what the provider's log says. */
interface Truth {
  readonly billable_calls: number;
  readonly failed_http_calls: number;
  readonly calls: readonly TrueCall[];
}

interface TrueCall {
  readonly provider: string;
  readonly request_model: string;
  readonly response_model: string | null;
  readonly response_id: string | null;
  readonly streaming: boolean;
  readonly http_status: number;
  readonly finish_reason: string | null;
  readonly service_tier?: string;
  readonly billable: boolean;
  readonly tokens: Readonly<Record<string, number>> | null;
  readonly evidence_in_telemetry?: Readonly<Record<string, boolean | null>>;
}

/** Words of the two providers to those of the OpenTelemetry output message schema. */
const FINISH_REASONS: Readonly<Record<string, string>> = {
  stop: "stop",
  end_turn: "stop",
  tool_calls: "tool_call",
  tool_use: "tool_call",
};

interface Case {
  readonly name: string;
  readonly json: Uint8Array;
  readonly pb: Uint8Array;
  readonly truth: Truth;
}

function readCases(): Case[] {
  return CLIENTS.flatMap((client) => {
    const folder = join(CAPTURES, client);
    const files = readdirSync(folder).filter((file) => file.endsWith(".expect.json"));
    return files.toSorted().map((file) => {
      const name = file.replace(".expect.json", "");
      const read = (end: string) => new Uint8Array(readFileSync(join(folder, name + end)));
      const truth = JSON.parse(readFileSync(join(folder, file), "utf8")) as Truth;
      return { name: `${client} ${name}`, json: read(".json"), pb: read(".pb"), truth };
    });
  });
}

const cases = readCases();
const billable = cases.flatMap((one) => pairsOf(one).map((pair) => ({ ...pair, name: one.name })));

/** The ok rows of a case beside the billable calls they stand for: by id, else in their order. */
function pairsOf({ json, truth }: Case): { row: CallRow; call: TrueCall }[] {
  const rows = explainBodies([json]).calls.filter((row) => row.status === "ok");
  const calls = truth.calls.filter((call) => call.billable);
  return calls.flatMap((call, index) => {
    const named = rows.find(
      (row) => row.response_id !== null && row.response_id === call.response_id,
    );
    const row = named ?? rows[index];
    return row === undefined ? [] : [{ row, call }];
  });
}

/** A row's tokens under the names of expect.json. */
function countsOf(row: CallRow): Record<string, number | null> {
  const { tokens } = row;
  const writes = [tokens.cache_write, tokens.cache_write_5m, tokens.cache_write_1h];
  const known = writes.filter((count) => count !== null);
  return {
    input_total: row.input_total,
    output_total: row.output_total,
    input_uncached: tokens.input_uncached,
    cache_read: tokens.cache_read,
    cache_write_5m: tokens.cache_write_5m,
    cache_write_1h: tokens.cache_write_1h,
    cache_write: known.length === 0 ? null : known.reduce((sum, count) => sum + count, 0),
    reasoning_output: tokens.output_reasoning,
  };
}

test("the captures are there", () => {
  expect(cases).toHaveLength(18);
  expect(billable).toHaveLength(18); // 16 cases succeed, two of them with two calls
});

describe.each(cases)("$name", ({ json, pb, truth }) => {
  const { calls } = explainBodies([json]);

  test("JSON, protobuf, both, and both twice give the same rows", () => {
    expect(calls.length).toBeGreaterThan(0);
    for (const bodies of [[pb], [json, pb], [pb, json], [json, pb, json, pb]]) {
      expect(explainBodies(bodies).calls).toEqual(calls);
    }
  });

  test("has as many ok rows as calls that were billed", () => {
    expect(calls.filter((row) => row.status === "ok")).toHaveLength(truth.billable_calls);
  });

  test("has an error row, with no tokens and no cost, only for a call that failed for good", () => {
    const errors = calls.filter((row) => row.status === "error");
    // One span covers all attempts of a call, so what failed before a success is not seen.
    expect(errors).toHaveLength(truth.billable_calls === 0 ? truth.failed_http_calls : 0);
    for (const row of errors) {
      const [failed] = truth.calls;
      expect(Object.values(row.tokens)).toEqual(Object.values(row.tokens).map(() => null));
      expect(row).toMatchObject({
        http_status: failed?.http_status,
        request_model: failed?.request_model,
        provider: failed?.provider,
        response_id: null,
        usage_status: "missing",
        cost_usd: "0",
      });
      expect(row.error_type).toBeTruthy();
    }
  });

  test("has rows that keep to the contract", () => {
    for (const row of calls) expect(CallRow.parse(row)).toEqual(row);
  });
});

describe.each(billable)("$name $call.seq", ({ row, call }) => {
  test("names provider, models, response and reason as the provider's log does", () => {
    expect(row).toMatchObject({
      provider: call.provider,
      request_model: call.request_model,
      response_model: call.response_model,
      response_id: call.response_id,
      provider_calls: 1,
    });
    const reason = call.finish_reason === null ? null : FINISH_REASONS[call.finish_reason];
    expect(row.finish_reason).toBe(reason);
  });

  test("says nothing else about the call that is not so", () => {
    expect([null, call.streaming]).toContain(row.streaming);
    expect([null, call.http_status]).toContain(row.http_status);
    expect([null, call.service_tier]).toContain(row.service_tier);
  });

  test("has every number that the telemetry holds", () => {
    const counts = countsOf(row);
    for (const [name, held] of Object.entries(call.evidence_in_telemetry ?? {})) {
      if (held !== true || !(name in counts)) continue;
      // A total that holds cached tokens nobody reported cannot be split: see the next test.
      if (name === "input_uncached" && row.usage_status === "estimated") continue;
      expect([name, counts[name]]).toEqual([name, call.tokens?.[name]]);
    }
  });

  test("is flagged where a number is not the provider's", () => {
    const flagged = ["estimated", "missing"].includes(row.usage_status);
    for (const [name, count] of Object.entries(countsOf(row))) {
      const truth = call.tokens?.[name] ?? null;
      const unknown = count === null && truth === 0; // nobody said it, and there was none
      // Reasoning is priced like any output, so a row that cannot tell it apart is not wrong.
      if (count === truth || unknown || name === "reasoning_output") continue;
      expect([name, count, row.usage_status, flagged]).toEqual([
        name,
        count,
        row.usage_status,
        true,
      ]);
    }
  });
});

describe("what the two clients hide", () => {
  const rowOf = (name: string) =>
    billable.find((one) => one.name.endsWith(` ${name}`))?.row ?? expect.fail(`no ${name}`);

  test("OpenAI's instrumentation hides cached tokens: the input stands, as an estimate", () => {
    expect(rowOf("chat_reasoning")).toMatchObject({
      input_total: 1500,
      output_total: 500,
      usage_status: "estimated",
      tokens: { cache_read: null, output_reasoning: null },
    });
  });

  test("a stream without usage is a row without tokens and without a cost", () => {
    expect(rowOf("chat_stream_no_usage")).toMatchObject({
      usage_status: "missing",
      input_total: null,
      output_total: null,
      cost_usd: null,
      cost_status: "unpriced",
    });
  });

  test("Anthropic's SDK tells all: cached tokens and cache writes by lifetime", () => {
    expect(rowOf("messages_cached")).toMatchObject({
      usage_status: "reported",
      tokens: {
        input_uncached: 25,
        cache_read: 2000,
        cache_write_5m: 200,
        cache_write_1h: 100,
        cache_write: 0,
        output_text: 60,
      },
      // 25 x 3 + 2000 x 0.3 + 200 x 3.75 + 100 x 6 + 60 x 15 dollars per million tokens
      cost_usd: "0.002925",
    });
  });
});

describe("the command", () => {
  const folder = mkdtempSync(join(tmpdir(), "spanledger-explain-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => vi.restoreAllMocks());

  /** Runs the command in this process. */
  async function run(...argv: string[]) {
    const written = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      vi.spyOn(process[name], "write").mockImplementation((text) => {
        written[name] += String(text);
        return true;
      });
    }
    const code = await runExplain(argv).finally(() => vi.restoreAllMocks());
    return { code, ...written };
  }

  function writeBody(name: string, ...spans: OtlpSpan[]): string {
    const file = join(folder, name);
    const request = { resourceSpans: [{ scopeSpans: [{ scope: { name: "test" }, spans }] }] };
    writeFileSync(file, encodeTraceRequest(request));
    return file;
  }

  function spanOf(id: number, name: string, attributes: Record<string, string> = {}): OtlpSpan {
    return {
      traceId: new Uint8Array(16).fill(7),
      spanId: new Uint8Array(8).fill(id),
      name,
      startTimeUnixNano: 1_795_225_705_000_000_000n + BigInt(id),
      endTimeUnixNano: 1_795_225_706_000_000_000n,
      attributes: Object.entries(attributes).map(([key, stringValue]) => ({
        key,
        value: { stringValue },
      })),
    };
  }

  const call = { "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini" };
  const capture = (end: string) => join(CAPTURES, CLIENTS[1] as string, `messages_basic${end}`);

  test("a file of one body a line, and a compressed one, are read as their bodies", async () => {
    const line = (id: number) => {
      const trace = { traceId: "07".repeat(16), spanId: `0${id}`.repeat(8), name: `call ${id}` };
      const attributes = ["gen_ai.operation.name=chat", "gen_ai.request.model=m"].map((pair) => {
        const [key, stringValue] = pair.split("=");
        return { key, value: { stringValue } };
      });
      const span = { ...trace, startTimeUnixNano: `17952257050000000${id}0`, attributes };
      return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] });
    };
    const lines = join(folder, "lines.jsonl");
    writeFileSync(lines, `${line(1)}\n${line(2)}\n\n`);
    const zipped = join(folder, "one.json.gz");
    writeFileSync(zipped, gzipSync(line(3)));
    const { code, stdout } = await run("--json", lines, zipped);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toHaveLength(3);
  });

  test("--json prints one array of rows for all files, each call once", async () => {
    const { code, stdout } = await run("--json", capture(".json"), capture(".pb"));
    expect(code).toBe(0);
    const rows = JSON.parse(stdout) as unknown[];
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ response_id: "msg_00003ulab", input_total: 40 });
  });

  test("--json prints an empty array where nothing is a call", async () => {
    const { code, stdout } = await run("--json", writeBody("none.pb", spanOf(1, "GET /")));
    expect([code, JSON.parse(stdout)]).toEqual([0, []]);
  });

  test("without --json there is a line for each call and each other span, with the reason", async () => {
    const file = writeBody("mixed.pb", spanOf(1, "chat", call), spanOf(2, "GET /health"));
    const { stdout } = await run(file);
    const [header, row, blank, title, other] = stdout.split("\n");
    expect(header).toMatch(/^START +PROVIDER +MODEL +STATUS/);
    expect(row).toMatch(/gpt-4o-mini +ok +\? +\? +\? +unpriced +missing +chat is one model call/);
    expect([blank, title]).toEqual(["", "Spans and events that are no rows:"]);
    expect(other).toBe("  GET /health: not a GenAI span");
  });

  test("P12 control characters of telemetry are shown, never obeyed", async () => {
    const evil = "\u001b[2J\u0007\r\n\u0085\u009bm";
    const file = writeBody(
      "evil.pb",
      spanOf(1, "chat", { ...call, "gen_ai.request.model": `gpt${evil}` }),
      spanOf(2, `name${evil}`),
      spanOf(3, `${"long ".repeat(30)}\nFORGED ROW\u202e\u2028`),
    );
    const { stdout } = await run(file);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202e]/u);
    expect(stdout).not.toMatch(/^FORGED/m);
    expect(stdout).toContain(String.raw`gpt\x1B[2J\x07\r\n\x85\x9Bm`);
    expect(stdout.trimEnd().split("\n")).toHaveLength(6);
  });

  test("files of all three signals are one arrival, told apart by what they hold", async () => {
    // One model call of Claude Code, which tells it in a span, in an event and in metrics.
    const names = ["json", "logs.json", "metrics.json"];
    const files = names.map((end) =>
      join(OWN_CAPTURES, "claude-code-2.1.329", `print_traces.${end}`),
    );
    const { code, stdout, stderr } = await run("--json", ...files);
    expect([code, stderr]).toEqual([0, ""]);
    const rows = JSON.parse(stdout) as CallRow[];
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ signal: "log", input_total: 2325, cost_usd: "0.002925" });
    expect(JSON.parse((await run("--json", ...files.toReversed())).stdout)).toEqual(rows);

    const [, , title, ...others] = (await run(...files)).stdout.split("\n").filter(Boolean);
    expect(title).toBe("Spans and events that are no rows:");
    const span = others.find((line) => line.includes("claude_code.llm_request"));
    expect(span).toContain("the log event of this client counts");
    // Four counts of tokens and one of cost; sessions and active time are none of the ledger's.
    expect(others).toContain("5 metric points, kept for reconciliation alone.");
    const ignored = others.find((line) => line.endsWith("say nothing of calls."));
    // Five of its seven events are no part of a call, and two of its seven points.
    expect(ignored).toBe("7 log records or data points say nothing of calls.");
  });

  test("a file of profiles, and one of nothing, is refused by its name", async () => {
    for (const text of ['{"resourceProfiles":[]}', "[]", "\u0000"]) {
      const file = join(folder, "other.bin");
      writeFileSync(file, text);
      await expect(run(file), text).rejects.toThrow("other.bin");
    }
  });

  test("what another row stands for says which", async () => {
    const usage = (key: string, count: number) => ({ key, value: { intValue: count } });
    const report = (id: number, input_tokens: number): OtlpSpan => {
      const span = spanOf(id, "chat", { ...call, "gen_ai.response.id": "resp-1" });
      const counts = [
        usage("gen_ai.usage.input_tokens", input_tokens),
        usage("gen_ai.usage.output_tokens", 5),
      ];
      return { ...span, attributes: [...(span.attributes ?? []), ...counts] };
    };
    const file = writeBody("twins.pb", report(1, 40), report(2, 40));
    const rows = JSON.parse((await run("--json", file)).stdout) as CallRow[];
    expect(rows).toMatchObject([{ input_total: 40, duplicates: 1 }]);
    const { stdout } = await run(file);
    expect(stdout.match(/\(counted: .*\)/g)).toEqual([`(counted: ${rows[0]?.call_id})`]);
  });

  test("a body that cannot be read is named", async () => {
    const broken = join(folder, "broken.json");
    writeFileSync(broken, '{"resourceSpans":[');
    await expect(run("--json", broken)).rejects.toThrow("broken.json");
  });

  test("rejected spans are told on stderr and the others stand", async () => {
    const bad = { ...spanOf(2, "chat", call), traceId: new Uint8Array(16) };
    const { code, stdout, stderr } = await run(
      "--json",
      writeBody("bad.pb", spanOf(1, "chat", call), bad),
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toHaveLength(1);
    expect(stderr).toContain("note: the trace id must not be all zero");
    expect(stderr).toContain("1 items were rejected");
  });

  test("no file, or an unknown option, is 2 with the usage", async () => {
    for (const argv of [[], ["--json"], ["--yaml", capture(".pb")]]) {
      const { code, stdout, stderr } = await run(...argv);
      expect([argv, code, stdout]).toEqual([argv, 2, ""]);
      expect(stderr).toContain("usage: spanledger explain [--json] FILE...");
    }
    expect(await run("--help")).toMatchObject({ code: 0, stderr: "" });
  });

  test("the launcher ends with 1 and one clear line for a file that is not there", async () => {
    const launcher = fileURLToPath(new URL("../bin/spanledger.js", import.meta.url));
    const missing = join(folder, "missing.json");
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile(process.execPath, [launcher, "explain", missing], (error, _stdout, stderr) => {
        resolve({ code: error?.code ?? 0, stderr });
      });
    });
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot read ${missing}`);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
