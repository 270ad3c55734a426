/**
 * The OpenTelemetry packages, loaded when the demo runs: they are development dependencies, and a
 * production install does not have them.
 *
 * Invariant: the only file that imports OpenTelemetry at run time; others import its types.
 */
import { messageOf, PermanentError } from "../../schemas/errors.ts";

/** Loads the packages. Throws PermanentError("missing_packages") when they are not installed. */
export async function loadOpenTelemetry() {
  try {
    const [api, sdk, resources, exporter] = await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/resources"),
      import("@opentelemetry/exporter-trace-otlp-proto"),
    ]);
    return { api, sdk, resources, exporter };
  } catch (error) {
    throw explainLoadError(error);
  }
}

/** The packages as loaded. */
export type OpenTelemetry = Awaited<ReturnType<typeof loadOpenTelemetry>>;

/** What to tell about a failed import; errors of another kind are passed through. */
export function explainLoadError(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ERR_MODULE_NOT_FOUND") return error;
  const detail = messageOf(error)
    .split("\n")[0]
    ?.replace(/ imported from .*$/, "");
  return new PermanentError(
    "missing_packages",
    "the demo sends through the OpenTelemetry SDK, which is not installed here " +
      `(${detail}). It comes with the development dependencies: run "npm ci" without ` +
      '"--omit=dev" in a checkout of Spanledger, and the demo there.',
  );
}
