/**
 * The query API on a test engine, asked without a socket, and its answers held against the schemas.
 *
 * Invariant: the project of a request comes from its key alone.
 */
import type { z } from "zod";
import type { Engine } from "../../clickhouse/engine.ts";
import { type AppOptions, createApp } from "../../query-api/app.ts";
import type { AuditEntry } from "../../query-api/route.ts";
import { type Actor, type Identity, makeOperator } from "../../schemas/access.ts";
import type { Project } from "../../schemas/state.ts";
import { StateStore } from "../../state/store.ts";

/** The keys that the test application knows, and their projects. */
export const TEST_KEYS: ReadonlyMap<string, string> = new Map([
  ["key-alpha", "alpha"],
  ["key-beta", "beta"],
]);

/** A key of a service that reads one project; its organization has the name of the project. */
export function makeReader(project_id: string): Actor {
  return {
    ...makeOperator(`key-${project_id}`, ["read"]),
    kind: "key",
    organization_id: project_id,
    project_id,
  };
}

/** Who a request is from: the reader of one of two projects, or nobody. */
function identifyTestKey(headers: Readonly<Record<string, string>>): Identity {
  const project_id = TEST_KEYS.get(headers["x-api-key"] ?? "");
  return project_id === undefined
    ? { problem: "unknown", message: "No valid key. Send it as `Authorization: Bearer <key>`." }
    : { actor: makeReader(project_id), expires_at_ms: null };
}

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
  /** What was written to the audit log. */
  readonly audited: AuditEntry[];
  readonly state: StateStore;
  /** Asks as the project alpha unless another key, or null for none, is given. */
  ask(path: string, key?: string | null, init?: RequestInit): Promise<Answer>;
}

/** Projects that tests read beside those of the keys. */
const MORE_PROJECTS = ["full", "gamma"];

/** An engine that a store writes to and finds nothing in again: what is stored is in its memory. */
const FORGETFUL_ENGINE = {
  kind: "embedded",
  query: async () => [],
  command: async () => {},
} as unknown as Engine;

/** Adds projects, each with an organization of its own name. */
export async function addProjects(state: StateStore, names: readonly string[]): Promise<void> {
  const created_at = "2026-01-01T00:00:00.000Z";
  for (const name of names) {
    const scope = { organization_id: name, project_id: null };
    await state.put("organization", name, scope, { organization_id: name, name, created_at });
    await state.put("project", name, { ...scope, project_id: name }, makeProject(name, name));
  }
}

/** A project without limits. */
export function makeProject(project_id: string, organization_id: string): Project {
  return {
    project_id,
    organization_id,
    name: project_id,
    created_at: "2026-01-01T00:00:00.000Z",
    retention: { raw_days: null, content_days: null, rollup_days: null },
    limits: { spans_per_second: null, bytes_per_second: null, monthly_spans: null },
  };
}

/** Makes the application; `now_ms` and the rest can be replaced. */
export function makeTestApi(engine: Engine, changes: Partial<AppOptions> = {}): TestApi {
  const log: LogLine[] = [];
  const write = (level: LogLine["level"]) => (_fields: object, message: string) => {
    log.push({ level, message });
  };
  const audited: AuditEntry[] = [];
  const lines = { info: write("info"), warn: write("warn"), error: write("error") };
  const state = new StateStore({
    engine: FORGETFUL_ENGINE,
    log: lines,
    now_ms: Date.now,
    refresh_ms: 3_600_000,
    snapshot: null,
  });
  const ready = addProjects(state, [...TEST_KEYS.values(), ...MORE_PROJECTS]);
  const app = createApp({
    engine,
    state,
    audit: async (entry) => {
      audited.push(entry);
    },
    log: lines,
    version: "1.2.3",
    now_ms: () => Date.UTC(2026, 9, 27),
    authenticate: identifyTestKey,
    loopback_only: false,
    renderMetrics: async () => "spanledger_test 1\n",
    checks: { storage: () => engine.ping() },
    ...changes,
  });
  return {
    app,
    log,
    audited,
    state,
    async ask(path, key = "key-alpha", init = {}) {
      await ready;
      const headers = new Headers(init.headers);
      if (key !== null) headers.set("x-api-key", key);
      const response = await app.request(path, { ...init, headers });
      const text = await readText(response);
      const isJson = response.headers.get("content-type")?.includes("json") === true;
      const json: unknown = isJson && text !== "" ? JSON.parse(text) : undefined;
      return { status: response.status, headers: response.headers, text, json };
    },
  };
}

/** The text of an answer; of a stream of events, which has no end, the first part. */
async function readText(response: Response): Promise<string> {
  const is_endless = response.headers.get("content-type") === "text/event-stream";
  if (!is_endless || response.body === null) return response.text();
  const reader = response.body.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return Buffer.from(value ?? []).toString();
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
