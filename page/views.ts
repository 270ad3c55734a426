/** Which component draws which view. A view is loaded when it is opened; the overview is there at once. */
import type { VNode } from "./html.ts";
import type { ViewName } from "./url.ts";
import { OverviewView } from "./views/overview.ts";

export type ViewComponent = () => VNode;

export interface View {
  /** The heading of the view, and the title of the window. */
  readonly title: string;
  /** Loads what draws it; rejects when the server has other files by now. */
  readonly load: () => Promise<ViewComponent>;
  /** What draws it, when it is there at once. */
  readonly component?: ViewComponent;
}

export const VIEWS: Readonly<Record<ViewName, View>> = {
  overview: { title: "Overview", load: async () => OverviewView, component: OverviewView },
  costs: { title: "Costs", load: async () => (await import("./views/costs.ts")).CostsView },
  performance: {
    title: "Performance",
    load: async () => (await import("./views/performance.ts")).PerformanceView,
  },
  calls: { title: "Calls", load: async () => (await import("./views/calls.ts")).CallsView },
  traces: { title: "Traces", load: async () => (await import("./views/traces.ts")).TracesView },
  sessions: {
    title: "Sessions",
    load: async () => (await import("./views/sessions.ts")).SessionsView,
  },
  errors: { title: "Errors", load: async () => (await import("./views/errors.ts")).ErrorsView },
  live: { title: "Live", load: async () => (await import("./views/live.ts")).LiveView },
  budgets: { title: "Budgets", load: async () => (await import("./views/budgets.ts")).BudgetsView },
  prices: { title: "Prices", load: async () => (await import("./views/prices.ts")).PricesView },
  collector: {
    title: "Collector",
    load: async () => (await import("./views/collector.ts")).CollectorView,
  },
  call: { title: "Call", load: async () => (await import("./views/call.ts")).CallView },
  trace: { title: "Trace", load: async () => (await import("./views/trace.ts")).TraceView },
  start: { title: "Send spans", load: async () => (await import("./views/start.ts")).StartView },
};
