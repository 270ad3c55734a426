/** Where notices may go: every form in which an address that is not public has been written. */
import { describe, expect, test } from "vitest";
import {
  isPublicAddress,
  parseTarget,
  RefusedTarget,
  resolveTarget,
  type TargetPolicy,
} from "./guard.ts";

/** Names that resolve to what the test says. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "public.example": ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"],
  "rebind.example": ["93.184.216.34", "127.0.0.1"],
  "six.example": ["93.184.216.34", "fd00::1"],
  "metadata.google.internal": ["169.254.169.254"],
  localhost: ["127.0.0.1", "::1"],
  "localhost.": ["127.0.0.1"],
  "127.0.0.1.nip.example": ["127.0.0.1"],
};
const policy: TargetPolicy = {
  allow_private: false,
  resolve: async (host) => NAMES[host] ?? [],
};

async function refusalOf(url: string, changes: Partial<TargetPolicy> = {}): Promise<string | null> {
  const used = { ...policy, ...changes };
  try {
    await resolveTarget(parseTarget(url, used), used);
    return null;
  } catch (error) {
    if (error instanceof RefusedTarget) return error.code;
    throw error;
  }
}

test.each([
  ["loopback", "https://127.0.0.1/"],
  ["another loopback", "https://127.8.8.8/"],
  ["metadata of clouds", "https://169.254.169.254/latest/meta-data/"],
  ["IPv6 loopback", "https://[::1]/"],
  ["IPv4 in IPv6", "https://[::ffff:127.0.0.1]/"],
  ["IPv4 in IPv6, hexadecimal", "https://[::ffff:7f00:1]/"],
  ["hexadecimal and short", "https://0x7f.1/"],
  ["one number", "https://2130706433/"],
  ["octal", "https://0177.0.0.1/"],
  ["one hexadecimal number", "https://0x7f000001/"],
  ["short", "https://127.1/"],
  ["zero", "https://0/"],
  ["full-width digits", "https://１２７.0.0.1/"],
  ["a private net", "https://10.1.2.3/"],
  ["another", "https://172.31.255.255/"],
  ["a third", "https://192.168.1.1/"],
  ["shared address space", "https://100.64.0.1/"],
  ["multicast", "https://224.0.0.1/"],
  ["broadcast", "https://255.255.255.255/"],
  ["unique local IPv6", "https://[fd12::1]/"],
  ["link-local IPv6", "https://[fe80::1]/"],
  ["NAT64 of loopback", "https://[64:ff9b::7f00:1]/"],
  ["6to4 of loopback", "https://[2002:7f00:1::]/"],
  ["Teredo", "https://[2001:0:1::]/"],
  ["a name of loopback", "https://localhost/"],
  ["the same with a dot", "https://localhost./"],
  ["a name with the address in it", "https://127.0.0.1.nip.example/"],
  ["the name of metadata", "https://metadata.google.internal/"],
  ["a name with one private address of two", "https://rebind.example/"],
  ["a name with a private IPv6 address", "https://six.example/"],
])("A15 %s is refused: %s", async (_form, url) => {
  expect(await refusalOf(url)).toBe("private_address");
});

test.each([
  ["http", "http://public.example/", "not_https"],
  ["a file", "file:///etc/passwd", "not_https"],
  ["gopher", "gopher://public.example/_x", "not_https"],
  ["ftp", "ftp://public.example/", "not_https"],
  ["data", "data:text/plain,x", "not_https"],
  ["script", "javascript:alert(1)", "not_https"],
  ["a unix socket", "unix:/var/run/docker.sock", "not_https"],
  ["a unix socket over http", "http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "not_https"],
  ["a user", "https://user@public.example/", "bad_url"],
  ["a host as user", "https://public.example:pw@127.0.0.1/", "bad_url"],
  ["no URL", "public.example/hook", "bad_url"],
  ["nothing", "", "bad_url"],
  ["a name that nobody has", "https://nobody.example/", "unknown_host"],
])("A15 %s is refused: %s", async (_form, url, code) => {
  expect(await refusalOf(url)).toBe(code);
});

test("public addresses and names are sent to", async () => {
  for (const url of [
    "https://public.example/hook?x=1",
    "https://93.184.216.34:8443/",
    "https://[2606:4700::1111]/",
  ]) {
    expect(await refusalOf(url)).toBeNull();
  }
});

test("the operator can allow private addresses and http, but nothing else", async () => {
  const allowed = { allow_private: true };
  expect(await refusalOf("http://127.0.0.1:9/", allowed)).toBeNull();
  expect(await refusalOf("https://rebind.example/", allowed)).toBeNull();
  expect(await refusalOf("file:///etc/passwd", allowed)).toBe("not_https");
  expect(await refusalOf("http://user@127.0.0.1/", allowed)).toBe("bad_url");
});

test("a name whose look-up fails has no address", async () => {
  const resolve = () => Promise.reject(new Error("SERVFAIL"));
  expect(await refusalOf("https://public.example/", { resolve })).toBe("unknown_host");
});

describe("addresses", () => {
  test.each([
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2400:cb00::1",
  ])("%s is public", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each([
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.9",
    "2001:db8::1",
    "::",
    "::ffff:8.8.8.8",
    "ff02::1",
    "fe80::1%eth0",
    "4000::1",
    "not an address",
    "",
  ])("%s is not", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});
