/** E-mail to an SMTP server that the test is. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Channel, Notice } from "../../schemas/notices.ts";
import { makeSmtpSender } from "./smtp.ts";

interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly login: string | null;
  readonly text: string;
}

interface MailServer {
  readonly port: number;
  readonly mails: Mail[];
  /** Answers by verb in place of the usual ones; null: never answers. */
  readonly answers: Map<string, string | null>;
}

const open: Server[] = [];
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of open.splice(0)) await new Promise((resolve) => server.close(resolve));
});

const USUAL: Readonly<Record<string, string>> = {
  EHLO: "250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME",
  MAIL: "250 ok",
  RCPT: "250 ok",
  DATA: "354 go on",
  QUIT: "221 bye",
  AUTH: "235 welcome",
};

/** Starts a server that speaks as much SMTP as one mail needs. */
async function startMailServer(): Promise<MailServer> {
  const mails: Mail[] = [];
  const answers = new Map<string, string | null>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let mail = { from: "", to: [] as string[], login: null as string | null };
    let data: string[] | null = null;
    let rest = "";
    const reply = (verb: string, usual: string) => {
      const answer = answers.has(verb) ? answers.get(verb) : usual;
      if (answer !== null && answer !== undefined) socket.write(`${answer}\r\n`);
    };
    const take = (line: string) => {
      if (data !== null) {
        if (line !== ".") return void data.push(line);
        mails.push({ ...mail, text: data.join("\n") });
        data = null;
        return reply("END", "250 queued");
      }
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "AUTH") mail.login = Buffer.from(line.split(" ")[2] ?? "", "base64").toString();
      if (verb === "MAIL") mail.from = /<([^>]*)>/.exec(line)?.[1] ?? "";
      if (verb === "RCPT") mail.to.push(/<([^>]*)>/.exec(line)?.[1] ?? "");
      if (verb === "DATA") data = [];
      reply(verb, USUAL[verb] ?? "502 what?");
    };
    socket.on("data", (chunk) => {
      const lines = (rest + chunk.toString()).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
    });
    mail = { from: "", to: [], login: null };
    reply("HELLO", "220 test ESMTP");
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, mails, answers };
}

const CHANNEL: Channel = {
  channel_id: "c1",
  project_id: "p",
  name: "mail",
  kind: "email",
  url: null,
  secret: null,
  to: ["finops@example.com", "lead@example.com"],
  is_enabled: true,
  created_at: "2026-06-11T12:00:00.000Z",
  updated_at: "2026-06-11T12:00:00.000Z",
};
const NOTICE: Notice = {
  notice_id: "n1",
  kind: "budget_threshold",
  project_id: "p",
  subject_id: "b",
  created_at: "2026-06-11T12:00:00.000Z",
  title: "Budget Søk: 80 % reached",
  text: "8 of 10 USD is used.",
  data: {},
};

function send(url: string, notice = NOTICE, timeout_ms = 2_000) {
  const sender = makeSmtpSender({ url, from: "Spanledger <alerts@example.com>", timeout_ms });
  const { signal } = new AbortController();
  return sender({ channel: CHANNEL, notice, delivery_id: "d1", now_ms: 0, signal });
}

test("a mail goes to every recipient, with the id of its delivery", async () => {
  const { port, mails } = await startMailServer();
  expect(await send(`smtp://127.0.0.1:${port}`)).toEqual({ is_delivered: true, status_code: 250 });
  const [mail] = mails;
  expect(mail).toMatchObject({
    from: "alerts@example.com",
    to: ["finops@example.com", "lead@example.com"],
    login: null,
  });
  expect(mail?.text).toMatch(/^Message-ID: <d1@spanledger>$/m);
  expect(mail?.text).toMatch(/^X-Spanledger-Delivery: d1$/m);
  expect(mail?.text).toContain("8 of 10 USD is used.");
  expect(mail?.text).toMatch(/^Subject: =\?UTF-8\?/m);
});

test("a user and a password of the URL are what it logs in with", async () => {
  const { port, mails } = await startMailServer();
  await send(`smtp://spanledger:p%40ss@127.0.0.1:${port}`);
  expect(mails[0]?.login).toBe("\0spanledger\0p@ss");
});

test("A21 a title with line breaks makes no header of its own", async () => {
  const { port, mails } = await startMailServer();
  const title = "Budget x\r\nBcc: thief@example.com\n\nHello\u001b[31m";
  await send(`smtp://127.0.0.1:${port}`, { ...NOTICE, title });
  expect(mails[0]?.to).toEqual(CHANNEL.to);
  const head = mails[0]?.text.split("\n\n")[0] ?? "";
  expect(head).toMatch(/^Subject: Budget x Bcc: thief@example.com Hello \[31m$/m);
  expect(head).not.toMatch(/^Bcc:/m);
});

test("A22 what a server refuses is one word, without what it says", async () => {
  const { port, answers } = await startMailServer();
  const url = `smtp://user:secret@127.0.0.1:${port}`;
  answers.set("AUTH", "535 5.7.8 no such user on host mail-7.internal");
  const refused = await send(url);
  expect(refused).toMatchObject({ error: "smtp_login_refused", status_code: 535, is_final: false });
  answers.delete("AUTH");
  answers.set("RCPT", "550 5.1.1 unknown user in dc=internal");
  expect(await send(url)).toMatchObject({ error: "smtp_recipient_refused", status_code: 550 });
  expect(JSON.stringify([refused])).not.toMatch(/internal|secret/);
});

test("a server that does not answer, or is not there, fails within the time given", async () => {
  const { port, answers } = await startMailServer();
  answers.set("HELLO", null);
  expect(await send(`smtp://127.0.0.1:${port}`, NOTICE, 200)).toMatchObject({ error: "timeout" });
  expect(await send("smtp://127.0.0.1:1", NOTICE, 500)).toMatchObject({
    is_delivered: false,
    error: "connection_refused",
  });
});
