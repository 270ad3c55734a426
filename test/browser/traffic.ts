/**
 * What the browser tests look at: the traffic of the demo, and calls whose every text is hostile.
 *
 * Invariant: the same calls at every run; only their instants move with the clock.
 */
import { randomBytes } from "node:crypto";
import { runDemo } from "../../cli/demo/demo.ts";

/** Days that the traffic covers. */
export const TRAFFIC_DAYS = 14;
/** Calls of the demo; few, so that the tests start fast. */
export const DEMO_CALLS = 900;

/** Names that a page must show as what they are. */
export const HOSTILE = {
  model: `<img src=x onerror="document.title='broken'">`,
  user: "o'brien \"; DROP TABLE calls; --",
  service: "مرحبا \u202Eevil\u202C שלום",
  agent: `${"long-agent-name-".repeat(31)}end!`,
} as const;

/** Sends the demo's traffic with a fixed seed; resolves when all of it was acknowledged. */
export async function sendDemo(otlp: string): Promise<void> {
  let text = "";
  const write = (line: string) => {
    text += line;
  };
  const minutes = TRAFFIC_DAYS * 1440;
  const code = await runDemo(
    ["--endpoint", otlp, "--minutes", String(minutes), "--calls", String(DEMO_CALLS), "--seed=7"],
    {},
    { out: write, err: write },
  );
  if (code !== 0) throw new Error(`the demo ended with ${code}: ${text}`);
}

/** Sends OTLP/JSON. */
export async function sendJson(otlp: string, body: object): Promise<void> {
  const response = await fetch(`${otlp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
}

function attribute(key: string, value: string | number) {
  return {
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  };
}

/** A body with one call of hostile names, an hour ago; a failed one, so that errors show it too. */
export function makeHostileBody(): { readonly trace_id: string; readonly body: object } {
  const trace_id = randomBytes(16).toString("hex");
  const start_ns = BigInt(Date.now() - 3_600_000) * 1_000_000n;
  const span = {
    traceId: trace_id,
    spanId: randomBytes(8).toString("hex"),
    name: `chat ${HOSTILE.model}`,
    kind: 3,
    startTimeUnixNano: String(start_ns),
    endTimeUnixNano: String(start_ns + 1_500_000_000n),
    status: { code: 2, message: `<script>alert(1)</script> ${HOSTILE.model}` },
    attributes: [
      attribute("gen_ai.operation.name", "chat"),
      attribute("gen_ai.provider.name", "openai"),
      attribute("gen_ai.request.model", HOSTILE.model),
      attribute("gen_ai.usage.input_tokens", 1000),
      attribute("gen_ai.usage.output_tokens", 200),
      attribute("user.id", HOSTILE.user),
      attribute("gen_ai.conversation.id", "<b>session</b>"),
      attribute("gen_ai.agent.name", HOSTILE.agent),
      attribute("error.type", "<svg onload=alert(1)>"),
    ],
  };
  return {
    trace_id,
    body: {
      resourceSpans: [
        {
          resource: { attributes: [attribute("service.name", HOSTILE.service)] },
          scopeSpans: [{ scope: { name: "hostile" }, spans: [span] }],
        },
      ],
    },
  };
}
