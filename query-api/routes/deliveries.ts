/** `GET /v1/deliveries`: every attempt to deliver a notice, newest first, page by page. */
import type { Engine } from "../../clickhouse/engine.ts";
import { loadQuery } from "../../clickhouse/queries.ts";
import { DeliveriesAnswer, DeliveriesQuery, type Delivery } from "../../schemas/notices.ts";
import { invalidCursor } from "../page.ts";
import { defineRoute, type Route } from "../route.ts";

const DEFAULT_LIMIT = 100;

type Row = Omit<
  Delivery,
  "attempted_at" | "next_attempt_at" | "status_code" | "error" | "channel_kind"
> & {
  readonly channel_kind: string;
  readonly attempted_ms: string;
  readonly next_attempt_ms: string;
  readonly status_code: number;
  readonly error: string;
};

function deliveryOf(row: Row): Delivery {
  const { attempted_ms, next_attempt_ms, status_code, error, channel_kind, ...shown } = row;
  const at = (ms: string) => new Date(Number(ms)).toISOString();
  return {
    ...shown,
    channel_kind: channel_kind === "" ? null : (channel_kind as Delivery["channel_kind"]),
    attempted_at: at(attempted_ms),
    status_code: status_code === 0 ? null : status_code,
    error: error === "" ? null : error,
    next_attempt_at: next_attempt_ms === "0" ? null : at(next_attempt_ms),
  };
}

/** Answers a page of the deliveries of one project. */
export async function answerDeliveries(
  engine: Engine,
  project_id: string,
  query: DeliveriesQuery,
): Promise<DeliveriesAnswer> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const cursor = query.cursor === undefined ? null : readCursor(query.cursor);
  const rows = await engine.query<Row>(loadQuery("select_deliveries"), {
    project_id,
    channel: query.channel_id ?? "",
    notice_id: query.notice_id ?? "",
    subject_id: query.subject_id ?? "",
    outcome: query.outcome ?? "",
    cursor_ms: cursor?.attempted_ms ?? "0",
    cursor_delivery_id: cursor?.delivery_id ?? "",
    limit: limit + 1,
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    deliveries: page.map(deliveryOf),
    next_cursor: rows.length > limit && last !== undefined ? writeCursor(last) : null,
  };
}

type Place = Pick<Row, "attempted_ms" | "delivery_id">;

function writeCursor({ attempted_ms, delivery_id }: Place): string {
  return Buffer.from(`${attempted_ms}:${delivery_id}`).toString("base64url");
}

/** Only the very text that `writeCursor` writes is a cursor. */
function readCursor(text: string): Place {
  const match = /^(\d{1,15}):([0-9a-f]{32})$/.exec(Buffer.from(text, "base64url").toString());
  const place = { attempted_ms: match?.[1] ?? "", delivery_id: match?.[2] ?? "" };
  if (match === null || writeCursor(place) !== text) throw invalidCursor();
  return place;
}

/** The log of deliveries. */
export const DELIVERY_ROUTES: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/deliveries",
    summary: "Every attempt to deliver a notice, newest first",
    tag: "Budgets and alerts",
    action: "settings:read",
    of: "project",
    asks_ledger: true,
    query: DeliveriesQuery,
    answer: DeliveriesAnswer,
    handle: ({ services, project_id, query }) =>
      answerDeliveries(services.engine, project_id, query),
  }),
];
