/** How to send the first span, client by client, with the addresses of this installation. */
import type { WhoamiAnswer } from "../../schemas/api-tenancy.ts";
import { useAnswer } from "../answers.ts";
import { readKey } from "../api.ts";
import { html, useRef, useState, type VNode } from "../html.ts";
import { type Block, CLIENTS, type Client, type Target, targetOf } from "../snippets.ts";
import { linkWith, useParams } from "../url.ts";

/** Tabs of clients, and what to copy; the parameter is `client`. */
export function StartGuide(): VNode {
  const asked = useParams().get("client");
  const client = CLIENTS.find(({ name }) => name === asked) ?? CLIENTS[0];
  const { data, problem } = useAnswer<WhoamiAnswer>("/v1/whoami");
  // Who may not ask where it is received is shown the usual place.
  const is_known = data !== null || problem !== null;
  const target = targetOf(data?.receiver ?? null, location.hostname, readKey() !== null);
  return html`<section class="card guide" aria-label="How to send spans" aria-busy=${!is_known}>
    <ul class="tabs">
      ${CLIENTS.map(
        ({ name, title }, index) =>
          html`<li>
            <a
              href=${linkWith({ client: index === 0 ? null : name })}
              aria-current=${name === client?.name ? "true" : undefined}
              >${title}</a
            >
          </li>`,
      )}
    </ul>
    ${is_known && client !== undefined && html`<${Blocks} key=${client.name} ...${{ client, target }} />`}
  </section>`;
}

interface BlocksProps {
  readonly client: Client;
  readonly target: Target;
}

function Blocks({ client, target }: BlocksProps): VNode {
  return html`${client.words !== undefined && html`<p>${client.words}</p>`}
    ${client.makeBlocks(target).map((block) => html`<${CopyBlock} ...${block} />`)}
    <p class="guide-notes">
      Received at <code>${target.otlp_http}</code> (OTLP/HTTP) and${" "}
      <code>${target.otlp_grpc}</code> (gRPC)${
        target.is_guess
          ? ": the usual ports of this host, because another process than the one that answers here receives spans. Ask whoever runs it."
          : "."
      }
      ${
        target.has_keys &&
        html` Put a key with the scope <code>ingest</code> in the place of <code>YOUR_KEY</code>;
          <code>spanledger keys create</code> makes one.`
      }
    </p>`;
}

/** Text with a button that copies it and says so. */
function CopyBlock({ title, code }: Block): VNode {
  const text = useRef<HTMLElement>(null);
  const [told, setTold] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code);
      setTold("Copied");
    } catch {
      // Without TLS browsers keep the clipboard from pages of other hosts: what is selected can be copied.
      if (text.current !== null) getSelection()?.selectAllChildren(text.current);
      setTold("Selected: press Ctrl+C");
    }
  };
  return html`<div class="snippet">
    <header>
      <h2>${title}</h2>
      <span class="told" role="status">${told}</span>
      <button onClick=${copy} aria-label=${`Copy: ${title}`}>Copy</button>
    </header>
    <pre tabindex="0" role="region" aria-label=${title}><code ref=${text}>${code}</code></pre>
  </div>`;
}
