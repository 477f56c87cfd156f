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

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

/**
 * The Authorization header that answers a server's challenge: Digest if it is offered, else Basic.
 * @param challenge of WWW-Authenticate
 * @returns undefined if the server asks for something else
 */
export function authorization(
  { user, password }: Login,
  challenge: string,
  method: string,
  uri: string,
): string | undefined {
  const digest = /\bDigest\s+(.*)/i.exec(challenge)?.[1];
  const field = (name: string) => {
    const match = new RegExp(`(?:^|[\\s,])${name}\\s*=\\s*(?:"([^"]*)"|([^\\s,]+))`, "i").exec(digest ?? "");
    return match?.[1] ?? match?.[2];
  };
  const [realm, nonce] = [field("realm"), field("nonce")];
  if (
    digest !== undefined &&
    realm !== undefined &&
    nonce !== undefined &&
    /^md5$/i.test(field("algorithm") ?? "md5")
  ) {
    const [a1, a2] = [md5(`${user}:${realm}:${password}`), md5(`${method}:${uri}`)];
    const cnonce = randomBytes(8).toString("hex");
    const hasQop = /(^|[\s,])auth([\s,]|$)/.test(field("qop") ?? "");
    const response = md5(hasQop ? `${a1}:${nonce}:00000001:${cnonce}:auth:${a2}` : `${a1}:${nonce}:${a2}`);
    const opaque = field("opaque");
    return (
      `Digest username="${user.replace(/["\\\r\n]/g, "")}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}"` +
      (hasQop ? `, qop=auth, nc=00000001, cnonce="${cnonce}"` : "") +
      (opaque === undefined ? "" : `, opaque="${opaque}"`)
    );
  }
  if (!/\bBasic\b/i.test(challenge)) return undefined;
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
