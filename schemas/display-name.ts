/**
 * Names that people give to things: shown to others, in mails and logs too.
 *
 * Invariant: one line of text that every reader can decode.
 */
import { z } from "zod";

/** Characters of a name that people give. */
export const MAX_NAME_LENGTH = 200;

/** A name, without spaces around it. */
export const displayName = z
  .string()
  .trim()
  .min(1)
  .max(MAX_NAME_LENGTH)
  .refine(
    (text) => text.isWellFormed() && !/\p{Cc}/u.test(text),
    "must not have control characters",
  );
