/**
 * For the tests of this folder: the endpoint on a real engine, as `serve` starts it, with two projects of
 * two organizations whose every text says whose it is, and a secret that nobody may read.
 */
import { writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { limitsOf, listReadable } from "../cli/clickhouse-http.ts";
import type { Engine } from "../clickhouse/engine.ts";
import type { ReaderLimits } from "../clickhouse/reader.ts";
import { parseSettings } from "../schemas/settings.ts";
import { Attributes, type Span } from "../schemas/span.ts";
import { Authenticator } from "../state/authenticator.ts";
import { addKey, addProject, makeLaboratory, NO_LOG } from "../state/fixture.ts";
import { openTestEngine, type TestEngine } from "../test/support/engine.ts";
import { insertSpans } from "../test/support/ledger.ts";
import { idBytes, makeSpan } from "../test/support/span.ts";
import { makeClickHouseServer } from "./server.ts";

/** Stands in every text of the project "shop". */
export const OWN_MARK = "zqshop";
/** Stands in every text of the other project. */
export const RIVAL_MARK = "zqrival";
/** Its id, which is in the mark too. */
export const RIVAL_PROJECT = "rival";
/** Stands in the small state, the audit log and a file beside the data. */
export const SECRET_MARK = "zqsecret";
/** Calls of the projects. */
export const OWN_CALLS = 3;
export const RIVAL_CALLS = 5;

const START_NS = 1_795_225_705_123_456_789n;
const DAY_OF_RIVAL_NS = 259_200_000_000_000n;
/** A day on which the other project alone has calls. */
export const RIVAL_DAY = "2026-11-18";

export const OPERATOR_KEY = "operator-key-of-this-test-1234567890";

export interface Endpoint {
  readonly url: string;
  readonly laboratory: TestEngine;
  /** Of the project shop, of its whole organization, and of the project rival. */
  readonly keys: Readonly<Record<"shop" | "acme" | "rival" | "ingest", string>>;
  /** A file that the process may read. */
  readonly secret_file: string;
  /** What `admit` was told, and what it answers: seconds to wait. */
  readonly admitted: { wait_s: number; strangers: number };
  /** Turns that were taken and have not ended. */
  readonly turns: { open: number };
  close(): Promise<void>;
}

/** A span of a project, all of whose texts hold the mark. */
function spanOf(project_id: string, mark: string, number: number): Span {
  const hex = Buffer.from(mark).toString("hex").slice(-8);
  const attributes = new Attributes();
  attributes.add("note", `${mark}-note`);
  attributes.add(`${mark}-key`, "1");
  return makeSpan({
    project_id,
    span_id: idBytes(`${hex}0000000${number}`),
    trace_id: idBytes(`${hex}0000000000000000000000${number}0`.slice(0, 32)),
    response_id: `${mark}-${number}`,
    service_name: `${mark}-service`,
    user_id: `${mark}-user`,
    name: `${mark}-name`,
    attributes,
    start_ns: START_NS + BigInt(number) - (number < OWN_CALLS ? 0n : DAY_OF_RIVAL_NS),
  });
}

/** Calls, budgets, prices, and a secret of a channel. */
async function seed(engine: Engine): Promise<void> {
  const spans = [
    ...Array.from({ length: OWN_CALLS }, (_, number) => spanOf("shop", OWN_MARK, number)),
    ...Array.from({ length: RIVAL_CALLS }, (_, number) => spanOf("rival", RIVAL_MARK, number)),
  ];
  await insertSpans(engine, spans, 1);
  await engine.command(
    `INSERT INTO state_objects (kind, object_id, organization_id, project_id, body, ver)
     VALUES ('channel', 'c1', 'umbrella', 'rival', '${SECRET_MARK}', 1)`,
  );
  for (const [project_id, mark] of [
    ["shop", OWN_MARK],
    [RIVAL_PROJECT, RIVAL_MARK],
  ] as const) {
    await engine.command(
      `INSERT INTO state_objects (kind, object_id, organization_id, project_id, body, ver)
       VALUES ('budget', '${mark}-budget', 'any', '${project_id}', '{"name":"${mark}"}', 1)`,
    );
    await engine.command(
      `INSERT INTO unit_prices (price_id, ver) VALUES ('a/negotiated/${project_id}', 1), ('b/initial', 1)`,
    );
  }
  await engine.command(
    `INSERT INTO audit_log (organization_id, project_id, actor_name) VALUES ('umbrella', 'rival', '${SECRET_MARK}')`,
  );
}

export async function startEndpoint(changes: Partial<ReaderLimits> = {}): Promise<Endpoint> {
  const laboratory = await openTestEngine();
  const { engine, directory } = laboratory;
  await seed(engine);
  const secret_file = join(directory, "secret.csv");
  writeFileSync(secret_file, `${SECRET_MARK},1\n`);
  const state = makeLaboratory().openStore();
  await state.start();
  await addProject(state, "shop", "acme");
  await addProject(state, "rival", "umbrella");
  const keys = {
    shop: (await addKey(state)).key,
    acme: (await addKey(state, { project_id: null })).key,
    rival: (await addKey(state, { organization_id: "umbrella", project_id: "rival" })).key,
    ingest: (await addKey(state, { scopes: ["ingest"] })).key,
  };
  const authenticator = new Authenticator({
    state,
    now_ms: () => Date.UTC(2026, 10, 21, 12),
    api_key: OPERATOR_KEY,
    allows_keyless: true,
    max_stale_ms: 60_000,
  });
  const settings = parseSettings({});
  if ("problems" in settings) throw new Error(settings.problems.join());
  const admitted = { wait_s: 0, strangers: 0 };
  const turns = { open: 0 };
  const server = await makeClickHouseServer({
    engine,
    log: NO_LOG,
    limits: { ...limitsOf(settings.settings), ...changes },
    authenticate: (headers) => authenticator.identify(headers),
    hasKeys: () => true,
    listProjects: (actor) => listReadable(state, actor),
    admit: (actor) => {
      if (actor === null) admitted.strangers += 1;
      return admitted.wait_s;
    },
    enter: async () => {
      turns.open += 1;
      return () => {
        turns.open -= 1;
      };
    },
  });
  const url = await listenSomewhere(server);
  return {
    url,
    laboratory,
    keys,
    secret_file,
    admitted,
    turns,
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await state.stop();
      await laboratory.close();
    },
  };
}

function listenSomewhere(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    });
  });
}

/** How a request is made. */
export interface Ask {
  readonly key?: string | null;
  /** Parameters of the URL. */
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: "GET" | "POST";
}

/** An answer, read to its end. */
export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Asks the endpoint, by POST unless told otherwise. */
export async function ask(url: string, sql: string, options: Ask = {}): Promise<Told> {
  const { key = null, query = {}, headers = {}, method = "POST" } = options;
  const params = new URLSearchParams(method === "GET" ? { ...query, query: sql } : query);
  const response = await fetch(`${url}/?${params.toString()}`, {
    method,
    headers: {
      ...(key === null
        ? {}
        : { authorization: `Basic ${Buffer.from(`anyone:${key}`).toString("base64")}` }),
      ...headers,
    },
    ...(method === "GET" ? {} : { body: sql }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
