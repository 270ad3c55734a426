/** Starts that cannot succeed end with code 1 and one clear sentence, and leave the data alone. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeCallsBody } from "../support/bodies.ts";
import { makeDataDirectory, type Program, startServe } from "../support/program.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/spanledger.js", import.meta.url));
const data = makeDataDirectory();
const other = makeDataDirectory();
let program: Program;

beforeAll(async () => {
  // The directory that fails to start has data, so that its engine is busy opening it.
  program = await startServe(other.path);
  await fetch(`${program.otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body: makeCallsBody(0, 500),
  });
  await program.end("SIGTERM");
  program = await startServe(data.path);
});
afterAll(async () => {
  await program.end("SIGTERM");
  data.remove();
  other.remove();
});

function run(
  words: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<{ code: number | null; signal: string | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [LAUNCHER, ...words], {
      env: { PATH: process.env["PATH"], ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.on("close", (code, signal) => resolve({ code, signal, text }));
  });
}

const free = {
  SPANLEDGER_DATA_DIR: other.path,
  SPANLEDGER_OTLP_HTTP: "127.0.0.1:0",
  SPANLEDGER_OTLP_GRPC: "127.0.0.1:0",
  SPANLEDGER_HTTP: "127.0.0.1:0",
};

test("a port that is taken", async () => {
  const taken = { ...free, SPANLEDGER_HTTP: program.api.replace("http://", "") };
  const { code, signal, text } = await run(["serve"], taken);
  expect({ code, signal }).toEqual({ code: 1, signal: null });
  expect(text).toContain("is taken by another program");
});

test("a data directory that another process uses", async () => {
  const { code, text } = await run(["serve"], { ...free, SPANLEDGER_DATA_DIR: data.path });
  expect(code).toBe(1);
  expect(text).toContain("Only one process may use a data directory");
});

test("an address beyond this machine without a key", async () => {
  const { code, text } = await run(["serve"], { ...free, SPANLEDGER_HTTP: "0.0.0.0:0" });
  expect(code).toBe(1);
  expect(text).toContain("SPANLEDGER_API_KEY");
});

test("settings that cannot be used are all named", async () => {
  const { code, text } = await run(["serve"], {
    ...free,
    SPANLEDGER_HTTP: "nowhere",
    SPANLEDGER_CAPTURE_CONTENT: "perhaps",
    SPANLEDGER_TYPO: "1",
  });
  expect(code).toBe(1);
  for (const name of ["SPANLEDGER_HTTP", "SPANLEDGER_CAPTURE_CONTENT", "SPANLEDGER_TYPO"]) {
    expect(text).toContain(name);
  }
});

test("a program alone without a server, an unknown command, and help", async () => {
  const alone = await run(["collector"], free);
  expect(alone.code).toBe(1);
  expect(alone.text).toContain("SPANLEDGER_CLICKHOUSE_URL");
  expect((await run(["srve"], free)).code).toBe(2);
  const help = await run(["help"], free);
  expect(help.code).toBe(0);
  expect(help.text).toContain("SPANLEDGER_DATA_DIR");
});
