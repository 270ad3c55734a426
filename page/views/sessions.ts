/** Sessions and users with what they came to; one session call by call. */
import type { SessionsAnswer, UsersAnswer } from "../../schemas/api-lists.ts";
import { type Asked, useAnswer, useAsked } from "../answers.ts";
import { countColumn, instantColumn, shortColumn, textColumn, usdColumn } from "../columns.ts";
import { Figure } from "../figure.ts";
import { listQuery, Pager } from "../figures/pager.ts";
import { SessionPart, showLong } from "../figures/session.ts";
import { chosen, FilterBar, ParamChoice } from "../filters.ts";
import { showCount, showUsd } from "../format.ts";
import { html, useCallback, type VNode } from "../html.ts";
import type { Column, TableData } from "../table.ts";
import { linkTo, linkWith, useParams } from "../url.ts";

/** Rows of a page; an answer has about 40 kB. */
const PAGE_ROWS = 50;
/** Least height of the lists, CSS pixels. */
const LIST_HEIGHT = 480;

const LISTS = [
  ["sessions", "Sessions"],
  ["users", "Users"],
] as const;
const ORDERS = [
  ["cost", "dearest first"],
  ["calls", "most calls first"],
  ["last_seen", "latest first"],
] as const;

/** The view: of one session when the filters name exactly one. */
export function SessionsView(): VNode {
  const params = useParams();
  const asked = useAsked();
  const [session_id = "", ...others] = params.getAll("session_id");
  const is_one = session_id !== "" && others.length === 0;
  const list = chosen(params, "list", LISTS);
  if (is_one) {
    return html`<${FilterBar} /><${SessionPart} asked=${asked} session_id=${session_id} />`;
  }
  return html`<${FilterBar} />
    <div class="filters" role="group" aria-label="List">
      <${ParamChoice} name="list" title="List of" choices=${LISTS} />
      <${ParamChoice} name="order_by" title="Order" choices=${ORDERS} />
    </div>
    <div class="grid">
      ${list === "sessions" ? html`<${SessionsFigure} asked=${asked} />` : html`<${UsersFigure} asked=${asked} />`}
    </div>`;
}

type Session = SessionsAnswer["sessions"][number];
type User = UsersAnswer["users"][number];
type Listed = Omit<User, "user_id" | "sessions">;

function costColumns<Row extends Listed>(): readonly Column<Row>[] {
  return [
    usdColumn("cost_usd", "Cost, USD", ({ cost_usd }) => cost_usd, {
      coverage: ({ coverage }) => coverage,
    }),
    countColumn("calls", "Calls", ({ calls }) => calls),
    countColumn("errors", "Failed", ({ errors }) => errors),
    shortColumn("input_total", "Tokens in", ({ input_total }) => input_total),
    shortColumn("output_total", "Tokens out", ({ output_total }) => output_total),
  ];
}

/** Names that a cell shows; the others are in its tooltip. */
const MAX_NAMES = 1;

function namesColumn<Row>(
  key: string,
  title: string,
  read: (row: Row) => readonly string[],
): Column<Row> {
  return {
    key,
    title,
    value: (row) => read(row).join(" "),
    show: (row) => {
      const names = read(row);
      const more = names.length - MAX_NAMES;
      return html`<span class="names" title=${names.join("\n")}
        ><span>${names.slice(0, MAX_NAMES).join(", ")}</span
        >${more > 0 && html`<b>+${more}</b>`}</span
      >`;
    },
  };
}

function seenColumns<Row extends Listed>(tz: string): readonly Column<Row>[] {
  return [
    instantColumn("first_seen", "First", ({ first_seen }) => first_seen, tz),
    instantColumn("last_seen", "Last", ({ last_seen }) => last_seen, tz),
    namesColumn("models", "Models", ({ models }) => models),
  ];
}

function sessionColumns(tz: string): readonly Column<Session>[] {
  return [
    {
      key: "session_id",
      title: "Session",
      value: ({ session_id }) => session_id,
      show: ({ session_id }) =>
        html`<a href=${linkWith({ session_id, cursor: null })} title=${session_id}
          >${session_id}</a
        >`,
    },
    ...costColumns<Session>(),
    {
      key: "duration_ns",
      title: "First to last",
      value: ({ duration_ns }) => duration_ns,
      show: ({ duration_ns }) => showLong(duration_ns),
      is_number: true,
      hint: "From the start of the first call to the end of the last one",
    },
    namesColumn("user_ids", "Users", ({ user_ids }) => user_ids),
    ...seenColumns<Session>(tz),
  ];
}

function withoutWords(noun: string, without: Listed | null): string {
  if (without === null) return "";
  const cost = without.cost_usd === null ? "cost not known" : showUsd(without.cost_usd);
  return `${showCount(without.calls)} calls name no ${noun}: ${cost}.`;
}

interface ListProps {
  readonly asked: Asked;
}

function useList<Answer>(path: string, asked: Asked) {
  const params = useParams();
  const cursor = params.get("cursor");
  const order_by = chosen(params, "order_by", ORDERS);
  const answer = useAnswer<Answer>(path, {
    ...listQuery(asked, cursor),
    order_by,
    limit: PAGE_ROWS,
  });
  const words = ORDERS.find(([name]) => name === order_by)?.[1] ?? "";
  return { answer, cursor, words };
}

function SessionsFigure({ asked }: ListProps): VNode {
  const { tz } = asked.range;
  const { answer, cursor, words } = useList<SessionsAnswer>("/v1/analytics/sessions", asked);
  const table = useCallback(
    ({ sessions }: SessionsAnswer): TableData<Session> => ({
      columns: sessionColumns(tz),
      rows: sessions,
    }),
    [tz],
  );
  return html`<${Figure}
    title="Sessions"
    subtitle=${`Conversations that calls name, ${words}`}
    width="full"
    height=${LIST_HEIGHT}
    answer=${answer}
    file="sessions"
    table=${table}
    can_sort=${false}
    coverage=${({ coverage }: SessionsAnswer) => coverage}
    when_empty="No call in this range names a session (gen_ai.conversation.id or session.id)."
    footer=${({ sessions, next_cursor, from, to, without_session }: SessionsAnswer) =>
      html`<p class="list-note">${withoutWords("session", without_session)}</p>
        <${Pager}
          ...${{ noun: "sessions", rows: sessions.length, cursor, next_cursor, from, to, tz }}
        />`}
  />`;
}

function userColumns(tz: string): readonly Column<User>[] {
  return [
    {
      key: "user_id",
      title: "User",
      value: ({ user_id }) => user_id,
      show: ({ user_id }) =>
        html`<a
          title=${`Sessions of ${user_id}`}
          href=${linkWith({ user_id, list: null, cursor: null })}
          >${user_id}</a
        >`,
    },
    ...costColumns<User>(),
    countColumn("sessions", "Sessions", ({ sessions }) => sessions),
    textLinks("links", "See", ({ user_id }) => user_id),
    ...seenColumns<User>(tz),
  ];
}

function textLinks<Row>(key: string, title: string, read: (row: Row) => string): Column<Row> {
  return {
    ...textColumn<Row>(key, title, read),
    show: (row) => {
      const user_id = read(row);
      return html`<a href=${linkTo("costs", { user_id })}>costs</a>${" "}
        <a href=${linkTo("calls", { user_id })}>calls</a>`;
    },
  };
}

function UsersFigure({ asked }: ListProps): VNode {
  const { tz } = asked.range;
  const { answer, cursor, words } = useList<UsersAnswer>("/v1/analytics/users", asked);
  const table = useCallback(
    ({ users }: UsersAnswer): TableData<User> => ({ columns: userColumns(tz), rows: users }),
    [tz],
  );
  return html`<${Figure}
    title="Users"
    subtitle=${`Users that calls name, ${words}`}
    width="full"
    height=${LIST_HEIGHT}
    answer=${answer}
    file="users"
    table=${table}
    can_sort=${false}
    coverage=${({ coverage }: UsersAnswer) => coverage}
    when_empty="No call in this range names a user (user.id or enduser.id)."
    footer=${({ users, next_cursor, from, to, without_user }: UsersAnswer) =>
      html`<p class="list-note">${withoutWords("user", without_user)}</p>
        <${Pager}
          ...${{ noun: "users", rows: users.length, cursor, next_cursor, from, to, tz }}
        />`}
  />`;
}
