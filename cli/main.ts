/**
 * The command line: `spanledger <command>`. Started by `bin/spanledger.js`, which brings Node 24.
 */
import { messageOf, PermanentError, RetryableError } from "../schemas/errors.ts";
import { COMMANDS, helpText } from "./commands.ts";
import { VERSION } from "./config.ts";

async function main(argv: readonly string[]): Promise<number> {
  const [name = "help", ...rest] = argv;
  if (["help", "--help", "-h"].includes(name)) {
    process.stdout.write(helpText());
    return 0;
  }
  if (["version", "--version", "-v"].includes(name)) {
    process.stdout.write(`${VERSION}\n`);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`"${name}" is not a command; run "spanledger help".\n`);
    return 2;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    // An error made for people needs no stack; anything else is a bug and does.
    const expected = error instanceof PermanentError || error instanceof RetryableError;
    const text = expected || !(error instanceof Error) ? messageOf(error) : error.stack;
    process.stderr.write(`spanledger ${name}: ${text}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
// Engine threads may outlive the work; the answer is given, so the process ends.
process.exit();
