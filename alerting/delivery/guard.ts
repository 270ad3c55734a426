/**
 * Where notices may be sent: public addresses over https, unless the operator allows more.
 *
 * Invariant: a name is resolved once for a connection, every address it has must be allowed, and only those
 * very addresses are connected to: a name that changes its mind between the check and the connection gains
 * nothing (research/reliability.md A15).
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP, isIPv4 } from "node:net";

/** What the operator allows. */
export interface TargetPolicy {
  /** Private, loopback and link-local addresses, and http. */
  readonly allow_private: boolean;
  /** The addresses of a name; rejects when it has none. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
}

/** All A and AAAA records that the system finds. */
export async function resolveAll(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => address);
}

/** Why a target is not sent to: one word for logs and answers, and a sentence for who may mend it. */
export class RefusedTarget extends Error {
  override readonly name = "RefusedTarget";
  readonly code: "bad_url" | "not_https" | "private_address" | "unknown_host";

  constructor(code: RefusedTarget["code"], message: string) {
    super(message);
    this.code = code;
  }
}

type Subnet = readonly [network: string, prefix: number];

/** IANA's special-purpose IPv4 blocks, multicast and what is reserved. */
const SPECIAL_V4: readonly Subnet[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];
/** The only global IPv6 block, and what is special within it: Teredo and 6to4 carry IPv4 addresses. */
const GLOBAL_V6: readonly Subnet[] = [["2000::", 3]];
const SPECIAL_V6: readonly Subnet[] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

function listOf(subnets: readonly Subnet[], family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of subnets) list.addSubnet(network, prefix, family);
  return list;
}

const special_v4 = listOf(SPECIAL_V4, "ipv4");
const global_v6 = listOf(GLOBAL_V6, "ipv6");
const special_v6 = listOf(SPECIAL_V6, "ipv6");

/** Whether an address is one of the public Internet. IPv4 within IPv6 never is. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special_v4.check(address, "ipv4");
  if (isIP(address) !== 6) return false;
  return global_v6.check(address, "ipv6") && !special_v6.check(address, "ipv6");
}

/** The URL of a target; throws RefusedTarget for what could never be sent to. */
export function parseTarget(text: string, { allow_private }: TargetPolicy): URL {
  if (!URL.canParse(text)) throw new RefusedTarget("bad_url", "The URL cannot be read.");
  const url = new URL(text);
  const is_https = url.protocol === "https:" || (allow_private && url.protocol === "http:");
  if (!is_https) throw new RefusedTarget("not_https", "The URL must begin with https://.");
  if (url.username !== "" || url.password !== "") {
    throw new RefusedTarget("bad_url", "The URL must not have a user or a password.");
  }
  return url;
}

/** The addresses that may be connected to for a URL; throws RefusedTarget when one of them may not. */
export async function resolveTarget(url: URL, policy: TargetPolicy): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) === 0 ? await resolveName(host, policy) : [host];
  if (policy.allow_private || addresses.every((address) => isPublicAddress(address))) {
    return addresses;
  }
  throw new RefusedTarget(
    "private_address",
    "The host is, or resolves to, an address that is not public. The operator can allow it with " +
      "SPANLEDGER_ALERTS_ALLOW_PRIVATE=true.",
  );
}

async function resolveName(host: string, policy: TargetPolicy): Promise<readonly string[]> {
  let addresses: readonly string[];
  try {
    addresses = await policy.resolve(host);
  } catch {
    addresses = [];
  }
  if (addresses.length === 0) {
    throw new RefusedTarget("unknown_host", "The host of the URL has no address.");
  }
  return addresses;
}
