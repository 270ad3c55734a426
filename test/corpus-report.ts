/**
 * `node test/corpus-report.ts [--client TEXT] [--case TEXT] [--verbose]`: what the ledger makes of the
 * captured telemetry, client by client. `--verbose` shows truth, rows and differences of each case;
 * `--wrong` only of the wrong ones.
 *
 * Invariant: the exit code is 1 when a case is wrong.
 */
import { parseArgs } from "node:util";
import { countOutcome, formatCase, formatSummary, runCorpus } from "./support/corpus-report.ts";

const { values } = parseArgs({
  options: {
    client: { type: "string", default: "" },
    case: { type: "string", default: "" },
    verbose: { type: "boolean", default: false },
    wrong: { type: "boolean", default: false },
  },
});

const cases = runCorpus(values.client, values.case);
if (values.verbose || values.wrong) {
  for (const item of cases) {
    if (values.verbose || item.verdict.outcome === "wrong") {
      process.stdout.write(`${formatCase(item)}\n`);
    }
  }
}
process.stdout.write(formatSummary(cases));
process.exitCode = countOutcome(cases, "wrong") > 0 ? 1 : 0;
