/**
 * Asks whether a collector is there before anything is made: an SDK would only say so after all its
 * retries, and in the words of a socket.
 *
 * Invariant: gives up within MAX_PROBE_MS, with words that say what to do.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, PermanentError, RetryableError } from "../../schemas/errors.ts";
import type { SendTarget } from "./sender.ts";

/** Longest an answer is waited for, ms. */
const ANSWER_TIMEOUT_MS = 3_000;
/** How long a collector that is still starting is waited for, ms. */
const PATIENCE_MS = 8_000;
const PAUSE_MS = 400;

/** Longest a probe takes, ms. */
export const MAX_PROBE_MS = PATIENCE_MS + ANSWER_TIMEOUT_MS;

/**
 * Sends an empty export request. Throws RetryableError("no_collector") when nothing answers in time
 * and PermanentError("refused") when something else than a willing collector does.
 */
export async function probeCollector(
  target: SendTarget,
  tell: (text: string) => void,
  patience_ms = PATIENCE_MS,
): Promise<void> {
  const start_ms = performance.now();
  for (let tries = 1; ; tries += 1) {
    const problem = await tryOnce(target);
    if (problem === null) return;
    if (performance.now() - start_ms + PAUSE_MS > patience_ms) {
      throw new RetryableError(
        "no_collector",
        `no collector answers at ${target.endpoint} (${problem}). ` +
          'Start one with "npm start", or name another with --endpoint.',
      );
    }
    if (tries === 1) tell(`waiting for a collector at ${target.endpoint} (${problem})\n`);
    await sleep(PAUSE_MS);
  }
}

/** Null when the collector is there; words when it may come; an error when it will not do. */
async function tryOnce({ endpoint, api_key }: SendTarget): Promise<string | null> {
  const headers = new Headers({ "content-type": "application/x-protobuf" });
  if (api_key !== null) headers.set("authorization", `Bearer ${api_key}`);
  let response: Response;
  try {
    response = await fetch(`${endpoint}/v1/traces`, {
      method: "POST",
      headers,
      // No field set: an export request of no spans.
      body: new Uint8Array(0),
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    await response.body?.cancel();
  } catch (error) {
    return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
  }
  if (response.ok) return null;
  if ([502, 503, 504].includes(response.status)) return `it answers ${response.status}`;
  throw new PermanentError("refused", explainRefusal(endpoint, response.status));
}

function explainRefusal(endpoint: string, status: number): string {
  if (status === 401 || status === 403) {
    return (
      `the collector at ${endpoint} does not take the key (${status}). ` +
      "Set SPANLEDGER_API_KEY to the key it was started with, or to one with the scope ingest."
    );
  }
  return (
    `${endpoint}/v1/traces answers ${status}, so it is no OTLP/HTTP collector. ` +
    "Name the right one with --endpoint."
  );
}
