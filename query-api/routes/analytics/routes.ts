/** The routes under `/v1/analytics/`, in the order of the reference. */
import type { Route } from "../../route.ts";
import { COST_ROUTES } from "./costs.ts";
import { CURRENT_ROUTES } from "./current.ts";
import { DASHBOARD_ROUTES } from "./dashboard.ts";
import { ERROR_ROUTES } from "./errors.ts";
import { LIST_ROUTES } from "./lists.ts";
import { PROVIDER_ROUTES } from "./providers.ts";
import { ROI_ROUTES } from "./roi.ts";
import { SAVINGS_ROUTES } from "./savings.ts";
import { UNPRICED_ROUTES } from "./unpriced.ts";

/** Every named endpoint. */
export const ANALYTICS_ROUTES: readonly Route[] = [
  ...DASHBOARD_ROUTES,
  ...COST_ROUTES,
  ...PROVIDER_ROUTES,
  ...SAVINGS_ROUTES,
  ...ROI_ROUTES,
  ...LIST_ROUTES,
  ...ERROR_ROUTES,
  ...UNPRICED_ROUTES,
  ...CURRENT_ROUTES,
];
