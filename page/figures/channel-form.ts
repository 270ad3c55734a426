/**
 * The form that makes a channel: where budgets and alert rules tell. The secret that signs a webhook is shown
 * once, as the API gives it.
 *
 * Invariant: the address and the secret are kept nowhere; both are gone with the form.
 */
import type { ChannelAnswer, ChannelInput, ChannelKind } from "../../schemas/notices.ts";
import { lookAgain } from "../answers.ts";
import { addressOf, Problem, tell } from "../api.ts";
import { valueOf } from "../filters.ts";
import { html, useEffect, useRef, useState, type VNode } from "../html.ts";
import { linkWith, setParams } from "../url.ts";
import { CopyId } from "./call-parts.ts";

/** How a channel is made by hand. */
export const CHANNEL_DOCS = "/docs#postChannels";

/** What the address of `edit` is while a channel is made; ids of budgets are longer. */
export const EDIT_CHANNEL = "channel";

/** Links within a sentence must be told from it by more than their colour. */
export const UNDERLINED = { textDecoration: "underline" };

interface Kind {
  readonly title: string;
  readonly address: string;
  readonly placeholder: string;
  readonly type: "url" | "text";
  readonly hint: string;
}

const KINDS: Readonly<Record<ChannelKind, Kind>> = {
  webhook: {
    title: "Webhook",
    address: "URL",
    placeholder: "https://example.com/notices",
    type: "url",
    hint: "Each notice is sent as signed JSON. The secret that signs it is shown once, after the channel is made.",
  },
  slack: {
    title: "Slack",
    address: "URL of the incoming webhook",
    placeholder: "https://hooks.slack.com/services/…",
    type: "url",
    hint: "Slack makes the URL under “Incoming Webhooks”. Whoever has it can post there: it is not shown again.",
  },
  email: {
    title: "Email",
    address: "Addresses",
    placeholder: "ops@example.com, finance@example.com",
    type: "text",
    hint: "Addresses with a comma between them. The server needs a mail server: SPANLEDGER_SMTP_URL.",
  },
};

/** The body of a request from what is typed. */
export function channelBody(
  kind: ChannelKind,
  name: string,
  address: string,
): Partial<ChannelInput> & Pick<ChannelInput, "name" | "kind"> {
  const own =
    kind === "email"
      ? { to: address.split(/[\s,;]+/).filter((word) => word !== "") }
      : { url: address.trim() };
  return { name: name.trim(), kind, ...own };
}

const close = () => setParams({ edit: null });

/** The form, and after it what was made. */
export function ChannelForm({ project }: { readonly project: string | null }): VNode {
  const form = useRef<HTMLFormElement>(null);
  const [kind, setKind] = useState<ChannelKind>("webhook");
  const [made, setMade] = useState<ChannelAnswer | null>(null);
  const [words, setWords] = useState("");
  const [is_sending, setSending] = useState(false);
  useEffect(() => form.current?.querySelector("select")?.focus(), []);
  const send = async (event: Event) => {
    event.preventDefault();
    if (form.current === null) return;
    const data = new FormData(form.current);
    const [name, address] = ["name", "address"].map((field) => {
      const value = data.get(field);
      return typeof value === "string" ? value : "";
    });
    setSending(true);
    try {
      const body = channelBody(kind, name ?? "", address ?? "");
      setMade(await tell<ChannelAnswer>(addressOf("/v1/channels", { project }), body));
      lookAgain();
    } catch (error) {
      setSending(false);
      if (!(error instanceof Problem)) throw error;
      setWords(error.message);
    }
  };
  if (made !== null) return html`<${Made} channel=${made} />`;
  return html`<form
    class="card budget-form"
    ref=${form}
    onSubmit=${(event: Event) => void send(event)}
  >
    <h2>New channel</h2>
    <p class="hint">
      Budgets and alert rules of the project tell it, unless they name other channels. ${" "}<a
        href=${CHANNEL_DOCS}
        >The API can do more</a
      >: change, test and delete channels.
    </p>
    <${Fields} kind=${kind} setKind=${setKind} />
    ${words !== "" && html`<p class="problem" role="alert">${words}</p>`}
    <div class="filters">
      <button class="primary" disabled=${is_sending}>Make the channel</button>
      <button type="button" onClick=${close}>Cancel</button>
    </div>
  </form>`;
}

interface FieldsProps {
  readonly kind: ChannelKind;
  readonly setKind: (kind: ChannelKind) => void;
}

function Fields({ kind, setKind }: FieldsProps): VNode {
  const { address, placeholder, type, hint } = KINDS[kind];
  return html`<div class="fields">
      <label
        >Kind
        <select value=${kind} onChange=${(event: Event) => setKind(valueOf(event) as ChannelKind)}>
          ${Object.entries(KINDS).map(
            ([value, { title }]) => html`<option value=${value}>${title}</option>`,
          )}
        </select></label
      >
      <label>Name <input name="name" required maxlength="200" autocomplete="off" /></label>
      <label
        >${address}
        <input
          name="address"
          required
          type=${type}
          maxlength="2048"
          autocomplete="off"
          spellcheck=${false}
          placeholder=${placeholder}
      /></label>
    </div>
    <p class="hint">${hint}</p>`;
}

function Made({ channel }: { readonly channel: ChannelAnswer }): VNode {
  const { name, kind, secret, channel_id } = channel;
  return html`<div class="card budget-form" role="status">
    <h2>${`${name} is made`}</h2>
    <p>
      ${`Notices go to it from now on (${KINDS[kind].title}). Whether they arrive, a test tells: `}
      <code>POST /v1/channels/${channel_id}/test</code>.
    </p>
    ${
      secret !== undefined &&
      html`<p>
        <b>Its secret, shown only now:</b>${" "}
        <${CopyId} name="secret" id=${secret} />
      </p>`
    }
    <div class="filters">
      <a class="button" href=${linkWith({ edit: null })}>Done</a>
    </div>
  </div>`;
}
