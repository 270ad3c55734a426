/**
 * What real clients sent, through the running server: the ledger has the rows that `explain` makes of
 * the same bodies, in any encoding and however often they are sent.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { explainBodies } from "../../cli/explain.ts";
import type { CallsAnswer } from "../../schemas/api.ts";
import type { CallRow } from "../../schemas/call.ts";
import { eventually, makeDataDirectory, type Program, startServe } from "../support/program.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));
const CLIENTS = ["otel-instrumentation-openai-0.22.0", "anthropic-sdk-native-1.11.0"];

interface Body {
  readonly bytes: Uint8Array;
  readonly content_type: string;
}

function readBodies(client: string): Body[] {
  return readdirSync(`${CAPTURES}${client}`)
    .filter((name) => /\.(pb|json)$/.test(name) && !/\.(logs|metrics|expect)\./.test(name))
    .map((name) => ({
      bytes: readFileSync(`${CAPTURES}${client}/${name}`),
      content_type: name.endsWith(".pb") ? "application/x-protobuf" : "application/json",
    }));
}

const data = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  program = await startServe(data.path);
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
});

async function post({ bytes, content_type }: Body): Promise<void> {
  const response = await fetch(`${program.otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": content_type },
    body: Buffer.from(bytes),
  });
  expect(response.status).toBe(200);
}

async function readLedger(): Promise<CallRow[]> {
  const rows: CallRow[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${cursor}`;
    const response = await fetch(`${program.api}/v1/calls?from=2026-01-01&limit=7${query}`);
    const page = (await response.json()) as CallsAnswer;
    rows.push(...page.calls);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return rows;
}

const byId = (a: CallRow, b: CallRow) => (a.call_id < b.call_id ? -1 : 1);

test("every capture of the first dialects is the same rows through explain and through the server", async () => {
  const bodies = CLIENTS.flatMap((client) => readBodies(client));
  expect(bodies.length).toBeGreaterThan(30);
  const expected = explainBodies(bodies.map(({ bytes }) => bytes)).calls.sort(byId);
  expect(expected.length).toBeGreaterThan(15);
  for (const body of bodies) await post(body);
  const { answer } = await eventually(readLedger, (rows) => rows.length >= expected.length, 10_000);
  expect(answer.sort(byId)).toEqual(expected);

  // Everything again, backwards, as a sender does whose answers were lost.
  for (const body of bodies.toReversed()) await post(body);
  await new Promise((resolve) => {
    setTimeout(resolve, 1_500);
  });
  expect((await readLedger()).sort(byId)).toEqual(expected);
});
