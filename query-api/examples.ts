/**
 * Examples of the routes that have none of their own: what the reference shows and a test asks, of an
 * installation with the things of EXAMPLE_IDS.
 *
 * Invariant: every route has one; each is answered as its route says (`examples.test.ts`).
 */
import type { Route, RouteExample } from "./route.ts";

/** Ids that the examples name. */
export const EXAMPLE_IDS = {
  organization_id: "default",
  project_id: "default",
  trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
  span_id: "00f067aa0ba902b7",
  budget_id: "chat-monthly-5f2c1a",
  rule_id: "cost-of-an-hour-83b0de",
  channel_id: "on-call-9d41e7",
  member_id: "member-5d0a3c9e-61f7-4a0b-9a56-1f0b7e2c4d83",
  key_id: "8YkQ2mVtR5xZ",
  organization_key_id: "Lw4cPq7TnB2s",
  export_id: "0d5c6f0a-9f4e-4b1d-8a7c-3e2b1f6a5d90",
  open_export_id: "b7d3a1c2-6e5f-4a8b-9c0d-1e2f3a4b5c6d",
  erasure_id: "6a1f0c3e-2b4d-4e5f-8a9b-7c6d5e4f3a2b",
  empty_organization_id: "old-team",
} as const;

const ids = EXAMPLE_IDS;
const ORGANIZATION = `/v1/orgs/${ids.organization_id}`;
const MEMBER = `${ORGANIZATION}/members/${ids.member_id}`;
const ORGANIZATION_KEY = `${ORGANIZATION}/keys/${ids.organization_key_id}`;

function example(summary: string, path: string, body?: unknown): RouteExample[] {
  return [body === undefined ? { summary, path } : { summary, path, body }];
}

/** By method and path of the route. */
const EXAMPLES: Readonly<Record<string, readonly RouteExample[]>> = {
  "GET /v1/calls": [
    ...example("The last calls", "/v1/calls?limit=2"),
    ...example(
      "What failed on one day for one user",
      "/v1/calls?from=2026-11-20&to=2026-11-21&status=error&user_id=user-2",
    ),
  ],
  "GET /v1/calls/{call_id}/explain": example(
    "Why a call counts",
    `/v1/calls/${ids.trace_id}-${ids.span_id}/explain`,
  ),
  "GET /v1/traces": [
    ...example("The newest traces", "/v1/traces?limit=2"),
    ...example(
      "The dearest traces of a week that one model had a part in",
      "/v1/traces?from=2026-11-14&to=2026-11-21&order_by=cost&model=gpt-4o-2024-08-06&limit=3",
    ),
    ...example(
      "Slow traces with an error",
      "/v1/traces?from=2026-11-14&to=2026-11-21&has_errors=true&min_duration_ms=500",
    ),
  ],
  "GET /v1/live": example("Frames as they come", "/v1/live"),
  "GET /v1/budgets": example("How the budgets stand", "/v1/budgets"),
  "POST /v1/budgets": example("500 dollars a month for one service", "/v1/budgets", {
    name: "Checkout, monthly",
    amount: "500",
    filters: { service_name: ["checkout"] },
    thresholds: [
      { kind: "actual", percent: 80 },
      { kind: "forecast", percent: 100 },
    ],
    channel_ids: [ids.channel_id],
  }),
  "GET /v1/budgets/{budget_id}": example("One budget", `/v1/budgets/${ids.budget_id}`),
  "PATCH /v1/budgets/{budget_id}": example("Raise it", `/v1/budgets/${ids.budget_id}`, {
    amount: "1200",
  }),
  "DELETE /v1/budgets/{budget_id}": example("Remove it", `/v1/budgets/${ids.budget_id}`),
  "GET /v1/alerts": example("The rules and how they stand", "/v1/alerts"),
  "POST /v1/alerts": example("Tell when an hour costs more than 20 dollars", "/v1/alerts", {
    name: "Cost of an hour",
    measure: "cost_usd",
    condition: { kind: "threshold", direction: "above", value: 20, window_minutes: 60 },
    channel_ids: [ids.channel_id],
  }),
  "GET /v1/alerts/{rule_id}": example("One rule", `/v1/alerts/${ids.rule_id}`),
  "PATCH /v1/alerts/{rule_id}": example("Pause it", `/v1/alerts/${ids.rule_id}`, {
    is_enabled: false,
  }),
  "DELETE /v1/alerts/{rule_id}": example("Remove it", `/v1/alerts/${ids.rule_id}`),
  "GET /v1/channels": example("Where notices go", "/v1/channels"),
  "POST /v1/channels": example("A signed webhook", "/v1/channels", {
    name: "On call",
    kind: "webhook",
    url: "https://hooks.example.com/spanledger",
  }),
  "GET /v1/channels/{channel_id}": example("One channel", `/v1/channels/${ids.channel_id}`),
  "PATCH /v1/channels/{channel_id}": example("Rename it", `/v1/channels/${ids.channel_id}`, {
    name: "On call, second line",
  }),
  "DELETE /v1/channels/{channel_id}": example("Remove it", `/v1/channels/${ids.channel_id}`),
  "POST /v1/channels/{channel_id}/test": example(
    "Send a test",
    `/v1/channels/${ids.channel_id}/test`,
  ),
  "GET /v1/deliveries": example("What was sent", "/v1/deliveries"),
  "GET /v1/orgs": example("The organizations that the key sees", "/v1/orgs"),
  "POST /v1/orgs": example("A new organization", "/v1/orgs", { name: "Acme" }),
  "GET /v1/orgs/{organization_id}": example("One organization", ORGANIZATION),
  "PATCH /v1/orgs/{organization_id}": example("Rename it", ORGANIZATION, { name: "Acme" }),
  "DELETE /v1/orgs/{organization_id}": example(
    "Remove one without projects",
    `/v1/orgs/${ids.empty_organization_id}`,
  ),
  "GET /v1/projects": example("The projects that the key sees", "/v1/projects"),
  "POST /v1/projects": example("A project with a quota", "/v1/projects", {
    name: "Chat",
    limits: { monthly_spans: 10_000_000 },
    retention: { raw_days: 90 },
  }),
  "GET /v1/projects/{project_id}": example("One project", `/v1/projects/${ids.project_id}`),
  "PATCH /v1/projects/{project_id}": example("Limit it", `/v1/projects/${ids.project_id}`, {
    limits: { spans_per_second: 500 },
  }),
  "GET /v1/orgs/{organization_id}/members": example("Who belongs to it", `${ORGANIZATION}/members`),
  "POST /v1/orgs/{organization_id}/members": example("Add one", `${ORGANIZATION}/members`, {
    name: "Robin Doe",
    email: "robin@example.com",
    role: "editor",
  }),
  "GET /v1/orgs/{organization_id}/members/{member_id}": example("One member", MEMBER),
  "PATCH /v1/orgs/{organization_id}/members/{member_id}": example("Another role", MEMBER, {
    role: "editor",
  }),
  "DELETE /v1/orgs/{organization_id}/members/{member_id}": example("Remove one", MEMBER),
  "GET /v1/keys": example("The keys of the project", "/v1/keys"),
  "POST /v1/keys": example("A key that sends telemetry of one service", "/v1/keys", {
    name: "checkout, production",
    scopes: ["ingest"],
    allowed_service_name: "checkout",
  }),
  "GET /v1/keys/{key_id}": example("One key", `/v1/keys/${ids.key_id}`),
  "POST /v1/keys/{key_id}/rotate": example(
    "A new key; the old one holds for an hour",
    `/v1/keys/${ids.key_id}/rotate`,
    { overlap_s: 3_600 },
  ),
  "DELETE /v1/keys/{key_id}": example("Revoke it", `/v1/keys/${ids.key_id}`),
  "GET /v1/orgs/{organization_id}/keys": example("All keys", `${ORGANIZATION}/keys`),
  "POST /v1/orgs/{organization_id}/keys": example(
    "A key that reads every project",
    `${ORGANIZATION}/keys`,
    { name: "reports", scopes: ["read"] },
  ),
  "GET /v1/orgs/{organization_id}/keys/{key_id}": example("One key", ORGANIZATION_KEY),
  "POST /v1/orgs/{organization_id}/keys/{key_id}/rotate": example(
    "A new key; both hold for a day",
    `${ORGANIZATION_KEY}/rotate`,
    {},
  ),
  "DELETE /v1/orgs/{organization_id}/keys/{key_id}": example("Revoke it", ORGANIZATION_KEY),
  "GET /v1/whoami": example("What the key may do", "/v1/whoami"),
  "GET /v1/audit": example("The last acts", "/v1/audit?limit=2"),
  "GET /v1/audit/verify": example("Whether the log is whole", "/v1/audit/verify"),
  "GET /v1/jobs": example("Long work of the project", "/v1/jobs"),
  "GET /v1/jobs/{job_id}": example("How far it is", `/v1/jobs/${ids.export_id}`),
  "POST /v1/erasures": example("Erase a user", "/v1/erasures", { user_id: "user-4711" }),
  "GET /v1/erasures/{erasure_id}": example("How far it is", `/v1/erasures/${ids.erasure_id}`),
  "DELETE /v1/erasures/{erasure_id}": example(
    "End it before it begins",
    `/v1/erasures/${ids.erasure_id}`,
  ),
  "POST /v1/exports": example("Export the project", "/v1/exports"),
  "GET /v1/exports/{export_id}": example(
    "How far it is, and its files",
    `/v1/exports/${ids.export_id}`,
  ),
  "GET /v1/exports/{export_id}/files/{name}": example(
    "The list of its files",
    `/v1/exports/${ids.export_id}/files/manifest.json`,
  ),
  "DELETE /v1/exports/{export_id}": example(
    "End one that is being made",
    `/v1/exports/${ids.open_export_id}`,
  ),
  "GET /healthz": example("Does it run?", "/healthz"),
  "GET /readyz": example("Can it work?", "/readyz"),
  "GET /metrics": example("Metrics for Prometheus", "/metrics"),
  "GET /openapi.json": example("For generators of clients", "/openapi.json"),
};

/** The route with its examples. */
export function withExamples(route: Route): Route {
  if (route.examples !== undefined) return route;
  const examples = EXAMPLES[`${route.method} ${route.path}`];
  return examples === undefined ? route : { ...route, examples };
}
