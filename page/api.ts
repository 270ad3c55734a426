/**
 * Questions to the query API of the server that this page came from, and to no other.
 *
 * Invariant: a key is sent as a header, kept by the browser only as long as was asked, and never part of
 * an address. Answers are kept with their ETag, so that what has not changed is not sent again.
 */

/** Answers that are kept, to be asked for again by their ETag. */
const MAX_KEPT_ANSWERS = 64;
/** Longest wait for an answer, ms: the server gives up earlier. */
const MAX_WAIT_MS = 60_000;

const KEY_NAME = "spanledger.key";

/** What went wrong, in the words of the API. */
export class Problem extends Error {
  /** Status of HTTP; 0 when the server could not be reached. */
  readonly status: number;
  /** Such as `invalid_request`. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Parameters of a question; null and undefined are left out, lists are given again and again. */
export type Query = Readonly<
  Record<string, string | number | boolean | readonly string[] | null | undefined>
>;

interface Kept {
  readonly etag: string;
  readonly data: unknown;
}

const kept = new Map<string, Kept>();
const key_listeners = new Set<() => void>();
let wants_key = false;

/** The key that was given, or null. */
export function readKey(): string | null {
  return sessionStorage.getItem(KEY_NAME) ?? localStorage.getItem(KEY_NAME);
}

/** Keeps a key for this tab, or on this device; null forgets it. */
export function keepKey(key: string | null, on_device = false): void {
  sessionStorage.removeItem(KEY_NAME);
  localStorage.removeItem(KEY_NAME);
  kept.clear();
  if (key !== null) (on_device ? localStorage : sessionStorage).setItem(KEY_NAME, key);
  wants_key = false;
  tellKeyListeners();
}

/** Whether the server wants a key that this page does not have. */
export function isKeyWanted(): boolean {
  return wants_key;
}

/** Calls back when a key was given, forgotten or asked for; returns what ends that. */
export function onKeyChange(listener: () => void): () => void {
  key_listeners.add(listener);
  return () => void key_listeners.delete(listener);
}

/** Once, not with every refusal: who listens asks again. */
function noteKeyWanted(): void {
  if (wants_key) return;
  wants_key = true;
  tellKeyListeners();
}

function tellKeyListeners(): void {
  for (const listener of key_listeners) listener();
}

/** The address of a question. */
export function addressOf(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) params.append(name, String(item));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Headers of every question. */
export function authHeaders(): Record<string, string> {
  const key = readKey();
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** Asks; rejects with a Problem. The signal ends it with an AbortError. */
export async function ask<Answer>(
  path: string,
  query: Query = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const address = addressOf(path, query);
  const known = kept.get(address);
  const response = await send(address, {
    headers: {
      accept: "application/json",
      ...authHeaders(),
      ...(known === undefined ? {} : { "if-none-match": known.etag }),
    },
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status === 304 && known !== undefined) return known.data as Answer;
  const data = (await response.json()) as Answer;
  const etag = response.headers.get("etag");
  if (etag !== null) {
    kept.delete(address);
    kept.set(address, { etag, data });
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT_ANSWERS && oldest !== undefined) kept.delete(oldest);
  }
  return data;
}

/** Sends a body, as `POST` unless said otherwise; rejects with a Problem. */
export async function tell<Answer>(
  path: string,
  body: unknown,
  method: "POST" | "PUT" | "PATCH" | "DELETE" = "POST",
): Promise<Answer> {
  const response = await send(path, {
    method,
    headers: { "content-type": "application/json", ...authHeaders() },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.status === 204 ? (undefined as Answer) : ((await response.json()) as Answer);
}

/**
 * A request whose answer is good, or 304; rejects with a Problem. `is_stream`: the answer has no end, so
 * that whoever reads it must see to the time it takes.
 */
export async function send(
  address: string,
  init: RequestInit,
  is_stream = false,
): Promise<Response> {
  const timeout = is_stream ? new AbortController().signal : AbortSignal.timeout(MAX_WAIT_MS);
  const signal = init.signal == null ? timeout : AbortSignal.any([init.signal, timeout]);
  let response: Response;
  try {
    response = await fetch(address, { ...init, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    const message = timeout.aborted
      ? `The server did not answer within ${MAX_WAIT_MS / 1000} s. Ask for a shorter range.`
      : "The server cannot be reached. It may be starting or stopped; this page tries again.";
    throw new Problem(0, "unreachable", message);
  }
  if (response.ok || response.status === 304) return response;
  if (response.status === 401) noteKeyWanted();
  throw await readProblem(response);
}

async function readProblem(response: Response): Promise<Problem> {
  try {
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return new Problem(response.status, error.code, error.message);
  } catch {
    return new Problem(response.status, "http_error", `The server answered ${response.status}.`);
  }
}
