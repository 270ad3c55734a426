/**
 * The query API on a test engine, asked without a socket, and its answers held against the schemas.
 *
 * Invariant: the project of a request comes from its key alone.
 */
import type { z } from "zod";
import type { Engine } from "../../clickhouse/engine.ts";
import { type AppOptions, createApp } from "../../query-api/app.ts";

/** The keys that the test application knows, and their projects. */
export const TEST_KEYS: ReadonlyMap<string, string> = new Map([
  ["key-alpha", "alpha"],
  ["key-beta", "beta"],
]);

export interface LogLine {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body when it is JSON, else undefined. */
  readonly json: unknown;
}

export interface TestApi {
  readonly app: ReturnType<typeof createApp>;
  readonly log: LogLine[];
  /** Asks as the project alpha unless another key, or null for none, is given. */
  ask(path: string, key?: string | null, init?: RequestInit): Promise<Answer>;
}

/** Makes the application; `now_ms` and the rest can be replaced. */
export function makeTestApi(engine: Engine, changes: Partial<AppOptions> = {}): TestApi {
  const log: LogLine[] = [];
  const write = (level: LogLine["level"]) => (_fields: object, message: string) => {
    log.push({ level, message });
  };
  const app = createApp({
    engine,
    log: { info: write("info"), warn: write("warn"), error: write("error") },
    version: "1.2.3",
    now_ms: () => Date.UTC(2026, 9, 27),
    authenticate: (headers) => TEST_KEYS.get(headers["x-api-key"] ?? "") ?? null,
    loopback_only: false,
    renderMetrics: async () => "spanledger_test 1\n",
    checks: { storage: () => engine.ping() },
    ...changes,
  });
  return {
    app,
    log,
    async ask(path, key = "key-alpha", init = {}) {
      const headers = new Headers(init.headers);
      if (key !== null) headers.set("x-api-key", key);
      const response = await app.request(path, { ...init, headers });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.includes("json") === true;
      const json: unknown = isJson && text !== "" ? JSON.parse(text) : undefined;
      return { status: response.status, headers: response.headers, text, json };
    },
  };
}

/**
 * The answer as its schema reads it. Throws when it does not fit, or has a field that the schema
 * does not have: schemas drop such fields, so the text must be the same after a reading.
 */
export function readStrictly<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
): z.infer<Schema> {
  const read = schema.parse(json);
  const kept = JSON.stringify(sortKeys(read));
  const sent = JSON.stringify(sortKeys(json));
  if (kept !== sent)
    throw new Error(`the answer has fields outside its schema: ${sent.slice(0, 500)}`);
  return json as z.infer<Schema>;
}

/** A copy with keys in order, without `__proto__`, which zod drops from maps on purpose. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => sortKeys(item));
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).filter(([key]) => key !== "__proto__");
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}
