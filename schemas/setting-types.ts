/**
 * How the value of a setting is written, and what it becomes.
 *
 * Invariant: a value that is not understood is refused with the form it should have, never guessed.
 */
import { z } from "zod";

/** host:port, [ipv6]:port; port 0 takes a free one. */
export const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):\d{1,5}$/, "must be host:port")
  .transform((text) => {
    const colon = text.lastIndexOf(":");
    return {
      host: text.slice(0, colon).replace(/^\[|\]$/g, ""),
      port: Number(text.slice(colon + 1)),
    };
  })
  .refine(({ port }) => port <= 65_535, "the port must be at most 65535");

/** Host and port. */
export type Address = z.infer<typeof address>;

/** true, false, 1 or 0. */
export const flag = z
  .string()
  .toLowerCase()
  .pipe(z.enum(["true", "false", "1", "0"], { error: 'must be "true" or "false"' }))
  .transform((text) => text === "true" || text === "1");

/** A whole number within bounds. */
export const integer = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(minimum).max(maximum));

/**
 * Scheme, host and perhaps a port, as a browser writes its origin; `*.` stands for every name below a
 * domain of two labels or more.
 */
const ORIGIN =
  /^[a-z][a-z0-9+.-]*:\/\/(?:(?:\*\.[a-z0-9_-]+\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::\d{1,5})?$/;

/** Origins separated by commas, as browsers write them. */
export const origins = z
  .string()
  .toLowerCase()
  .transform((text) => text.split(",").map((origin) => origin.trim()))
  .refine(
    (list) => list.every((origin) => ORIGIN.test(origin)),
    "must be origins such as https://app.example.com or https://*.example.com, separated by commas",
  )
  // Browsers leave out the port that the scheme has anyway.
  .transform((list): readonly string[] =>
    list.map((origin) => origin.replace(/^(https:.*):443$|^(http:.*):80$/, "$1$2")),
  );

/** A decimal of one digit before the point. */
export const fraction = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d(\.\d{1,6})?$/, "must be a number such as 0.25")
    .transform(Number)
    .pipe(z.number().min(minimum).max(maximum));

/** The address of a mail server. */
export const smtpUrl = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^smtps?:$/.test(new URL(text).protocol) && text.includes("//"),
    "must be smtp://host:port or smtps://host:port, perhaps with user:password@",
  );
