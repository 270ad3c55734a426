/**
 * Every route of the query API, in the order of the reference. What is not here is not answered.
 */
import { withExamples } from "./examples.ts";
import { type JsonObject, makeOpenApi } from "./openapi.ts";
import type { Route } from "./route.ts";
import { ANALYTICS_ROUTES } from "./routes/analytics/routes.ts";
import { ALERT_ROUTES } from "./routes/alerts.ts";
import { AUDIT_ROUTES } from "./routes/audit.ts";
import { BUDGET_ROUTES } from "./routes/budgets.ts";
import { CALL_ROUTES } from "./routes/calls.ts";
import { CHANNEL_ROUTES } from "./routes/channels.ts";
import { COLLECTOR_ROUTES } from "./routes/collector.ts";
import { DELIVERY_ROUTES } from "./routes/deliveries.ts";
import { makeDocsRoutes } from "./routes/docs.ts";
import { ERASURE_ROUTES } from "./routes/erasures.ts";
import { EXPLAIN_ROUTES } from "./routes/explain.ts";
import { EXPORT_ROUTES } from "./routes/exports.ts";
import { JOB_ROUTES } from "./routes/jobs.ts";
import { type LiveRouteOptions, makeLiveRoutes } from "./routes/live.ts";
import { KEY_ROUTES } from "./routes/keys.ts";
import { MEMBER_ROUTES } from "./routes/members.ts";
import { makeOperations, type OperationsOptions as Operations } from "./routes/operations.ts";
import { TRACE_SEARCH_ROUTES } from "./routes/trace-search.ts";
import { ORGANIZATION_ROUTES } from "./routes/organizations.ts";
import { makePageRoutes } from "./routes/page.ts";
import { PRICE_BOOK_ROUTES } from "./routes/price-book.ts";
import { PROJECT_ROUTES } from "./routes/projects.ts";
import { QUALITY_ROUTES } from "./routes/analytics/quality.ts";
import { SCHEMA_ROUTES } from "./routes/schema.ts";
import { TRACE_ROUTES } from "./routes/traces.ts";
import { USAGE_ROUTES } from "./routes/usage.ts";
import { WHOAMI_ROUTES } from "./routes/whoami.ts";

/** What the routes of operations need, and the version that the document names. */
export interface OperationsOptions extends Operations, LiveRouteOptions {
  readonly version: string;
}

/** Routes that answer from the ledger and the state: all but those of operations. */
export const API_ROUTES: readonly Route[] = [
  ...USAGE_ROUTES,
  ...SCHEMA_ROUTES,
  ...PRICE_BOOK_ROUTES,
  ...ANALYTICS_ROUTES,
  ...QUALITY_ROUTES,
  ...CALL_ROUTES,
  ...EXPLAIN_ROUTES,
  ...TRACE_SEARCH_ROUTES,
  ...TRACE_ROUTES,
  ...BUDGET_ROUTES,
  ...ALERT_ROUTES,
  ...CHANNEL_ROUTES,
  ...DELIVERY_ROUTES,
  ...ORGANIZATION_ROUTES,
  ...PROJECT_ROUTES,
  ...MEMBER_ROUTES,
  ...KEY_ROUTES,
  ...WHOAMI_ROUTES,
  ...AUDIT_ROUTES,
  ...JOB_ROUTES,
  ...ERASURE_ROUTES,
  ...EXPORT_ROUTES,
  ...COLLECTOR_ROUTES,
];

/** All routes. */
export function makeRoutes(options: OperationsOptions): readonly Route[] {
  let document: JsonObject | undefined;
  const makeDocument = () => (document ??= makeOpenApi(routes.filter(isOfApi), options.version));
  const routes: readonly Route[] = [
    ...API_ROUTES,
    ...makeLiveRoutes(options),
    ...makeOperations(options, makeDocument),
    ...makeDocsRoutes(makeDocument),
    ...makePageRoutes(),
  ].map((route) => withExamples(route));
  return routes;
}

function isOfApi({ is_asset }: Route): boolean {
  return is_asset !== true;
}

/** The routes of the API, of a process that does nothing: for the document and the reference. */
export function describeRoutes(): readonly Route[] {
  return describeAllRoutes().filter(isOfApi);
}

/** All routes, files of pages too. */
export function describeAllRoutes(): readonly Route[] {
  return makeRoutes({
    renderMetrics: async () => "",
    checks: {},
    version: "",
    log: { info: () => {}, warn: () => {}, error: () => {} },
  });
}
