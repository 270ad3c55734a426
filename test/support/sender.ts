/** Senders of export requests for tests: of a project without a key, and none at all. */
import { PermanentError } from "../../schemas/errors.ts";
import { DEFAULT_SENDER, type Sender } from "../../schemas/sender.ts";

/** Who sends to a project without a stored key. */
export function senderOf(project_id: string): Sender {
  return { ...DEFAULT_SENDER, project_id };
}

/** Lets nobody in. */
export function refuseAll(): never {
  throw new PermanentError(
    "unauthenticated",
    "No valid key. Send it as `authorization: Bearer <key>`.",
  );
}
