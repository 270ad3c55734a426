/**
 * Lists of small objects page by page, and changes that say which version they are of.
 *
 * Invariant: a cursor is a place in a list and gives no right to it: whose list it is, is asked anew.
 */
import { ApiError } from "./errors.ts";

const DEFAULT_LIMIT = 100;

/** A page of a list in the order of ids; `next_cursor` is null on the last one. */
export function pageOf<Item extends { readonly object_id: string }>(
  items: readonly Item[],
  query: { readonly limit?: number | undefined; readonly cursor?: string | undefined },
): { page: Item[]; next_cursor: string | null } {
  const after = query.cursor === undefined ? null : readCursor(query.cursor);
  const rest = after === null ? items : items.filter(({ object_id }) => object_id > after);
  const page = rest.slice(0, query.limit ?? DEFAULT_LIMIT);
  const last = page.at(-1);
  const is_last = last === undefined || page.length === rest.length;
  return { page, next_cursor: is_last ? null : writeCursor(last.object_id) };
}

function writeCursor(object_id: string): string {
  return Buffer.from(`id:${object_id}`).toString("base64url");
}

/** Only the very text that `writeCursor` writes is a cursor. */
function readCursor(text: string): string {
  const object_id = Buffer.from(text, "base64url").toString().slice("id:".length);
  if (writeCursor(object_id) === text) return object_id;
  throw invalidCursor();
}

/** The error of a text that is no cursor of the list. */
export function invalidCursor(): ApiError {
  const message = "cursor is not one that this server gave";
  return new ApiError(400, "invalid_cursor", message, [{ path: "cursor", message }]);
}

/**
 * The version that a change is meant for: that of the body or of If-Match, or else what is stored now, so
 * that of two changes at once one is refused.
 */
export function expectedVersion(
  raw: Request,
  body_version: number | undefined,
  now: number,
): number {
  const header = raw.headers.get("if-match");
  if (header === null) return body_version ?? now;
  const text = /^(?:"(\d{1,16})"|(\d{1,16}))$/.exec(header.trim());
  const given = Number(text?.[1] ?? text?.[2] ?? Number.NaN);
  if (Number.isNaN(given) || (body_version ?? given) !== given) {
    const message = 'If-Match must be the version that was read, such as "1795225705123456".';
    throw new ApiError(400, "invalid_if_match", message, [{ path: "if-match", message }]);
  }
  return given;
}

/** An id made of a name: its letters and digits, and six random ones, so that none is met twice. */
export function makeId(name: string, fallback: string): string {
  const readable = name
    .normalize("NFKD")
    .replaceAll(/\p{M}+/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 48)
    .replaceAll(/^-+|-+$/g, "");
  const random = crypto.randomUUID().replaceAll("-", "").slice(0, 6);
  return `${readable === "" ? fallback : readable}-${random}`;
}
