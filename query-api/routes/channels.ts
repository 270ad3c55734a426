/**
 * `/v1/channels`: where notices of a project go: webhooks, Slack, e-mail.
 *
 * Invariant: a secret never leads to another host than the one it was given for, and nothing that is answered
 * or written down has one, nor the path of a URL.
 */
import { randomBytes } from "node:crypto";
import { Deliverer } from "../../alerting/deliver.ts";
import { makeSenders, type Senders } from "../../alerting/senders.ts";
import {
  Channel,
  ChannelAnswer,
  ChannelChange,
  ChannelInput,
  ChannelsAnswer,
  type Delivery,
  Delivery as DeliverySchema,
  MAX_CHANNELS,
  type Notice,
  PageQuery,
} from "../../schemas/notices.ts";
import { ApiError } from "../errors.ts";
import { expectedVersion, makeId, pageOf } from "../page.ts";
import { type ApiRequest, defineRoute, type Route } from "../route.ts";
import { readObject, refuseTooMany, scopeOf } from "./budgets.ts";

const DEFAULT_LIMIT = 50;
/** Random bytes of a secret that is made here. */
const SECRET_BYTES = 32;

/** What an installation without settings allows: public addresses, no e-mail. */
const DEFAULT_SENDERS = makeSenders({ allow_private: false, smtp: null });

function viewChannel(channel: Channel): ChannelAnswer {
  const { url, secret, ...shown } = channel;
  return { ...shown, host: url === null ? null : new URL(url).host, has_secret: secret !== null };
}

/** What the audit log keeps of what was asked for. */
function withoutSecrets({ url, secret, ...shown }: ChannelChange) {
  return {
    ...shown,
    ...(url == null || !URL.canParse(url) ? {} : { host: new URL(url).host }),
    ...(secret === undefined ? {} : { secret: secret === null ? "removed" : "set" }),
  };
}

function refuse(path: string, message: string): ApiError {
  return new ApiError(400, "invalid_body", `${path} ${message}`, [{ path, message }]);
}

/** Throws 400 for what a channel of its kind cannot have, or must have. */
async function checkChannel(
  senders: Senders,
  { kind, url, secret, to }: Pick<Channel, "kind" | "url" | "secret" | "to">,
): Promise<void> {
  if (kind !== "webhook" && secret !== null) throw refuse("secret", "is for webhooks only");
  if (kind === "email") {
    if (url !== null) throw refuse("url", "is for webhooks and Slack only");
    if (to.length === 0) throw refuse("to", "must name a recipient");
    if (!senders.can_email) {
      throw refuse("kind", "email needs a server: the operator sets SPANLEDGER_SMTP_URL");
    }
    return;
  }
  if (to.length > 0) throw refuse("to", "is for email only");
  if (url === null) throw refuse("url", "must be given");
  const problem = await senders.refuse(url);
  if (problem !== null) throw refuse("url", `is refused: ${problem}`);
}

function sendersOf({ services }: Pick<ApiRequest, "services">): Senders {
  return services.senders ?? DEFAULT_SENDERS;
}

async function createChannel(request: ApiRequest<unknown, ChannelInput>): Promise<ChannelAnswer> {
  const { services, project_id, organization_id, body, now_ms } = request;
  refuseTooMany(request, "channel", MAX_CHANNELS);
  const is_made = body.kind === "webhook" && body.secret === undefined;
  const made = `whsec_${randomBytes(SECRET_BYTES).toString("base64url")}`;
  const secret = is_made ? made : (body.secret ?? null);
  const now = new Date(now_ms).toISOString();
  const channel_id = makeId(body.name, "channel");
  const stamps = { created_at: now, updated_at: now };
  const channel: Channel = { ...body, secret, channel_id, project_id, ...stamps };
  await checkChannel(sendersOf(request), channel);
  await services.state.put("channel", channel_id, { organization_id, project_id }, channel, 0);
  const detail = { created: withoutSecrets({ ...body, secret }) };
  await request.audit({ object_kind: "channel", object_id: channel_id, detail });
  return { ...viewChannel(channel), ...(is_made ? { secret: made } : {}) };
}

/** Whether two URLs lead to the same scheme, host and port. */
function hasSameHost(before: string | null, after: string | null): boolean {
  if (before === null || after === null) return before === after;
  return URL.canParse(after) && new URL(before).origin === new URL(after).origin;
}

async function changeChannel(request: ApiRequest<unknown, ChannelChange>): Promise<ChannelAnswer> {
  const { services, path, body, now_ms } = request;
  const found = readObject(request, "channel", path["channel_id"]);
  const updated_at = new Date(now_ms).toISOString();
  const merged = Channel.parse({ ...found.body, ...body, updated_at });
  const keeps_secret = body.secret !== undefined || hasSameHost(found.body.url, merged.url);
  const channel = keeps_secret ? merged : { ...merged, secret: null };
  await checkChannel(sendersOf(request), channel);
  const version = expectedVersion(request.raw, undefined, found.version);
  await services.state.put("channel", found.object_id, scopeOf(found), channel, version);
  const detail = {
    changed: { ...withoutSecrets(body), secret_cleared: channel.secret !== merged.secret },
  };
  await request.audit({ object_kind: "channel", object_id: found.object_id, detail });
  return viewChannel(channel);
}

async function removeChannel(request: ApiRequest): Promise<void> {
  const found = readObject(request, "channel", request.path["channel_id"]);
  await request.services.state.remove("channel", found.object_id, found.version);
  const detail = { removed: { name: found.body.name } };
  await request.audit({ object_kind: "channel", object_id: found.object_id, detail });
}

/** Sends a notice that says it is a test, once, now, and tells how that went. */
async function testChannel(request: ApiRequest): Promise<Delivery> {
  const { services, project_id, path, now_ms, request_id } = request;
  const { body: channel, object_id } = readObject(request, "channel", path["channel_id"]);
  const notice: Notice = {
    notice_id: `test-${request_id}`,
    kind: "test",
    project_id,
    subject_id: object_id,
    created_at: new Date(now_ms).toISOString(),
    title: `Test of the channel ${channel.name}`,
    text: "This is a test. Notices of budgets and alerts will arrive here.",
    data: { channel_id: object_id },
  };
  const { engine, state, log } = services;
  const deliverer = new Deliverer({
    engine,
    state,
    log,
    senders: sendersOf(request),
    now_ms: services.now_ms,
    random: Math.random,
    max_attempts: 1,
  });
  await request.audit({ object_kind: "channel", object_id, detail: { tested: true } });
  const made = await deliverer.sendOnce(channel, notice, request.raw.signal);
  const { project_id: _project, attempted_ms, next_attempt_ms: _next, ...shown } = made;
  return { ...shown, attempted_at: new Date(attempted_ms).toISOString(), next_attempt_at: null };
}

const common = { tag: "Budgets and alerts", of: "project" } as const;
const path_parameters = { channel_id: "Id of the channel" };

/** Channels. */
export const CHANNEL_ROUTES: readonly Route[] = [
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/channels",
    summary: "Where notices go",
    action: "settings:read",
    query: PageQuery,
    answer: ChannelsAnswer,
    handle: async ({ services, project_id, query }) => {
      const all = services.state.list("channel", { project_id });
      const { page, next_cursor } = pageOf(all, { limit: DEFAULT_LIMIT, ...query });
      return { channels: page.map(({ body }) => viewChannel(body)), next_cursor };
    },
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/v1/channels",
    summary: "Makes a channel",
    description:
      "A webhook gets each notice as JSON, with `x-spanledger-signature: t=<Unix seconds>,v1=<HMAC-SHA256 " +
      "of `t.body` with the secret, hex>` and `idempotency-key`. Private addresses are refused unless the " +
      "operator allows them.",
    action: "alerts:write",
    body: ChannelInput,
    answer: ChannelAnswer,
    status: 201,
    errors: [409],
    handle: createChannel,
  }),
  defineRoute({
    ...common,
    method: "GET",
    path: "/v1/channels/{channel_id}",
    path_parameters,
    summary: "A channel, without its secrets",
    action: "settings:read",
    answer: ChannelAnswer,
    handle: async (request) =>
      viewChannel(readObject(request, "channel", request.path["channel_id"]).body),
  }),
  defineRoute({
    ...common,
    method: "PATCH",
    path: "/v1/channels/{channel_id}",
    path_parameters,
    summary: "Changes fields of a channel",
    description: "With a URL of another host the secret is cleared, unless a new one is given.",
    action: "alerts:write",
    body: ChannelChange,
    answer: ChannelAnswer,
    errors: [409],
    handle: changeChannel,
  }),
  defineRoute({
    ...common,
    method: "DELETE",
    path: "/v1/channels/{channel_id}",
    path_parameters,
    summary: "Removes a channel",
    action: "alerts:write",
    answer: null,
    status: 204,
    errors: [409],
    handle: removeChannel,
  }),
  defineRoute({
    ...common,
    method: "POST",
    path: "/v1/channels/{channel_id}/test",
    path_parameters,
    summary: "Sends a test notice, once, and tells how that went",
    action: "alerts:write",
    answer: DeliverySchema,
    handle: testChannel,
  }),
];
