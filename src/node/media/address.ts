// Addresses of network sources: what is shown of them, where they lead, who may read them.
import { createHash, randomBytes } from "node:crypto";
import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import type { LookupFunction } from "node:net";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";

/** A network source as the user named it. */
export interface Address {
  /** Without name and password. */
  url: URL;
  /** For messages and files: without name, password and query, which may hold a key. */
  shown: string;
  /** Absent if the address names none. */
  login?: Login;
}

export interface Login {
  user: string;
  password: string;
}

/** @throws InputError if it is not an address (its text is not repeated: it may hold a password) */
export function parseAddress(text: string): Address {
  let url: URL;
  let login: Login;
  try {
    url = new URL(text);
    login = { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  } catch {
    throw new InputError(`the address ${oneLine(text.split(":")[0])}://… is not a valid URL`);
  }
  if (url.username !== "" && `${url.pathname}${url.search}`.includes("@")) {
    // Else a part of the password would be taken for the host, and shown.
    throw new InputError(
      `the address ${oneLine(url.protocol)}//… holds a second @: write %40 for one in the name, password or path`,
    );
  }
  if (url.hostname === "") throw new InputError(`the address ${oneLine(url.protocol)}//… names no host`);
  url.username = "";
  url.password = "";
  url.hash = "";
  const shown = oneLine(`${url.protocol}//${url.host}${url.pathname}${url.search === "" ? "" : "?…"}`);
  return { url, shown, ...(login.user === "" && login.password === "" ? {} : { login }) };
}

/** Whether an input is the address of a network source. */
export const isAddress = (input: string): boolean => /^(https?|rtsps?):\/\//i.test(input);

/**
 * Refuses what looks like an address and is none that is read, such as ftp://….
 * @throws InputError that names the scheme alone: the rest may hold a password
 */
export function refuseScheme(input: string): void {
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(input)?.[1];
  if (scheme === undefined || isAddress(input)) return;
  throw new InputError(`${scheme}://… cannot be read: addresses begin with http, https, rtsp or rtsps`);
}

/**
 * A text with addresses in it, without names and passwords. It takes out too much rather than too
 * little: a password may hold any sign, such as "@".
 */
export const withoutLogins = (text: string): string => text.replace(/\b([a-z][a-z\d+.-]*:\/\/)\S*@/gi, "$1…@");

/**
 * Resolves a host's name once. All connections then lead to what it meant, so that it cannot come
 * to mean another host in between.
 * @returns what node:net and node:http take as `lookup`
 * @throws InputError if the name is unknown
 */
export async function resolveHost({ url, shown }: Address): Promise<LookupFunction> {
  const name = url.hostname.replace(/^\[|\]$/g, "");
  let found: LookupAddress[];
  try {
    found = await lookup(name, { all: true });
  } catch (error) {
    throw new InputError(`${shown}: the host ${oneLine(name)} is not known (${reasonOf(error)})`);
  }
  return (_name, options, done) => {
    if (options.all) done(null, found);
    else done(null, found[0].address, found[0].family);
  };
}

/** Certificates that nobody known vouches for. */
const UNTRUSTED = /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(VERIFY|GET)_\w+)$/;

/** Why a connection failed, in a few words. */
export function connectionReason(error: unknown): string {
  // If a name means several addresses, there is an error for each.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const code = first instanceof Error && "code" in first ? String(first.code) : "";
  if (UNTRUSTED.test(code)) {
    return `its certificate is not trusted (${reasonOf(first)}); if it is yours, name its file in NODE_EXTRA_CA_CERTS`;
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL_")) return "it does not speak TLS there";
  return reasonOf(first);
}

/** Digests by their names in a challenge, lowercase; the first one is the default. */
const digests: Readonly<Record<string, string>> = { md5: "md5", "sha-256": "sha256" };

/**
 * The Authorization header that answers a server's challenge: Digest if it is offered, else Basic.
 * @param challenge of WWW-Authenticate; of several Digests the first that is known counts
 * @returns undefined if the server asks for something else
 */
export function authorization(
  { user, password }: Login,
  challenge: string,
  method: string,
  uri: string,
): string | undefined {
  for (const digest of challenge.split(/\bDigest\s+/i).slice(1)) {
    const field = (name: string) => {
      const match = new RegExp(`(?:^|[\\s,])${name}\\s*=\\s*(?:"([^"]*)"|([^\\s,]+))`, "i").exec(digest);
      return match?.[1] ?? match?.[2];
    };
    const [realm, nonce, algorithm = "MD5"] = [field("realm"), field("nonce"), field("algorithm")];
    const kind = digests[algorithm.toLowerCase()];
    if (realm === undefined || nonce === undefined || kind === undefined) continue;
    const hash = (text: string): string => createHash(kind).update(text).digest("hex");
    const [a1, a2] = [hash(`${user}:${realm}:${password}`), hash(`${method}:${uri}`)];
    const cnonce = randomBytes(8).toString("hex");
    const hasQop = /(^|[\s,])auth([\s,]|$)/.test(field("qop") ?? "");
    const response = hash(hasQop ? `${a1}:${nonce}:00000001:${cnonce}:auth:${a2}` : `${a1}:${nonce}:${a2}`);
    const opaque = field("opaque");
    return (
      `Digest username="${user.replace(/["\\\r\n]/g, "")}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}"` +
      (kind === "md5" ? "" : `, algorithm=${algorithm}`) +
      (hasQop ? `, qop=auth, nc=00000001, cnonce="${cnonce}"` : "") +
      (opaque === undefined ? "" : `, opaque="${opaque}"`)
    );
  }
  if (!/\bBasic\b/i.test(challenge)) return undefined;
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
