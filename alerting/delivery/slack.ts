/**
 * Notices in the shape that incoming webhooks of Slack take; Mattermost, Rocket.Chat and Discord (its
 * /slack address) take it too.
 *
 * Invariant: what users named is shown as text: it makes no link, mentions nobody and rings for no channel.
 */
import type { Notice } from "../../schemas/notices.ts";
import type { TargetPolicy } from "./guard.ts";
import { post } from "./http.ts";
import type { Letter, Outcome } from "./sender.ts";
import { USER_AGENT } from "./webhook.ts";

/** Characters of a header block and of a section. */
const MAX_HEADER_LENGTH = 150;
const MAX_SECTION_LENGTH = 3_000;

/** The payload of a notice. */
export function slackPayload({ title, text, notice_id }: Notice): object {
  const plain = (words: string, limit: number) => ({
    type: "plain_text",
    text: words.slice(0, limit),
    emoji: false,
  });
  return {
    text: escapeSlack(`${title}\n${text}`),
    blocks: [
      { type: "header", text: plain(title, MAX_HEADER_LENGTH) },
      { type: "section", text: plain(text, MAX_SECTION_LENGTH) },
      { type: "context", elements: [plain(`Spanledger, notice ${notice_id}`, MAX_HEADER_LENGTH)] },
    ],
  };
}

/** The three characters that Slack's text gives a meaning; without them there are no mentions. */
function escapeSlack(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Posts a notice to an incoming webhook of Slack. */
export function sendSlack(letter: Letter, policy: TargetPolicy): Promise<Outcome> {
  const { channel, notice, delivery_id, signal } = letter;
  const headers = {
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "x-spanledger-delivery": delivery_id,
  };
  const body = JSON.stringify(slackPayload(notice));
  return post({ url: channel.url ?? "", headers, body, signal }, policy);
}
