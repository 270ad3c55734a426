/** Alerting as a program runs it: with its settings, asking usage by the door of the query API. */
import { startAlerting } from "../alerting/loop.ts";
import { makeSenders, senderOptions } from "../alerting/senders.ts";
import type { Services } from "../query-api/route.ts";
import { makeAsk } from "../query-api/routes/budgets.ts";
import type { Settings } from "../schemas/settings.ts";

/** Starts to look at budgets and alert rules; what is answered stops that. */
export function startAlerts(settings: Settings, services: Services): () => Promise<void> {
  const { engine, state, log, now_ms } = services;
  const alerting = startAlerting({
    engine,
    state,
    log,
    now_ms,
    ask: makeAsk(services),
    senders: services.senders ?? makeSenders(senderOptions(settings)),
    interval_ms: settings.SPANLEDGER_ALERTS_INTERVAL_S * 1000,
    max_attempts: settings.SPANLEDGER_ALERTS_MAX_ATTEMPTS,
  });
  return () => alerting.stop();
}
