/**
 * How commands ask the routes of the API as the operator: of the running program of the data directory,
 * which has the embedded engine locked, or in this process when none runs (`ask-here.ts`).
 *
 * Invariant: both ways go through the same checks and leave the same rows in the audit log.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ApiError } from "../query-api/errors.ts";
import type { Settings } from "../schemas/settings.ts";

/** Asks a route with a JSON body, if it takes one. Rejects with the ApiError that it answers. */
export type Ask = (method: string, path: string, body?: unknown) => Promise<unknown>;

/** Who answers, and how to close what came with it. */
export interface Asking {
  readonly ask: Ask;
  readonly close: () => Promise<void>;
}

/** Where a running program takes commands, and what opens it. */
export interface LocalAdmin {
  readonly url: string;
  readonly token: string;
}

/** The file in the data directory that a running program leaves word in. */
export const LOCAL_ADMIN_FILE = "local-admin.json";

/** Finds who answers. Rejects when there is neither a program nor the engine. */
export async function openAsk(settings: Settings): Promise<Asking> {
  const admin = readLocalAdmin(settings.SPANLEDGER_DATA_DIR);
  if (admin !== null && (await answers(admin))) {
    return { ask: askProgram(admin), close: async () => {} };
  }
  // Engine and routes take longer to load than to ask a program.
  return (await import("./ask-here.ts")).openHere(settings);
}

/** Where the program of a data directory takes commands; null when none has left word. */
export function readLocalAdmin(data_dir: string): LocalAdmin | null {
  try {
    const text = readFileSync(join(data_dir, LOCAL_ADMIN_FILE), "utf8");
    const { url, token } = JSON.parse(text) as Partial<LocalAdmin>;
    if (typeof url !== "string" || typeof token !== "string") return null;
    // Whoever could write the file could have us send the token elsewhere.
    return /^http:\/\/127\.0\.0\.1:\d{1,5}$/.test(url) ? { url, token } : null;
  } catch {
    return null; // none, or one that was cut off in the middle
  }
}

/** Longest a program of this machine is waited for, ms. */
const ANSWER_TIMEOUT_MS = 30_000;

/** Whether the program that left word still runs: one that was killed could not take it back. */
async function answers({ url }: LocalAdmin): Promise<boolean> {
  try {
    const response = await fetch(`${url}/healthz`, {
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    return response.status === 200;
  } catch {
    return false;
  }
}

function askProgram({ url, token }: LocalAdmin): Ask {
  return async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const answer = (await response.json()) as { error?: { code: string; message: string } };
    if (answer.error === undefined) return answer;
    const { code, message } = answer.error;
    throw new ApiError(response.status as 400, code, message);
  };
}
