// What a configuration names as a camera's source or as a receiver of alerts.
import { isIP } from "node:net";
import { posix, resolve } from "node:path";
import { InputError } from "../../errors.js";
import { type Address, isAddress, type Login, parseAddress, refuseScheme } from "../../node/media/address.js";

/** Names of a query's parameters that hold a key. */
const secretParameter = /pass|pwd|secret|token|key|auth|sig|credential/i;
const giveApart =
  "if the password holds one of / ? # @ % or a blank, give it apart: { url: ..., user: ..., password: ... }";

/** A login as the configuration gives it beside a URL. */
export interface LoginParts {
  user?: string;
  password?: string;
}

/**
 * Checks an address.
 * @param schemes that are allowed
 * @throws InputError that does not repeat the address: it may hold a password
 */
export function checkAddress(text: string, schemes: readonly string[]): Address {
  const scheme = /^([a-z][a-z\d+.-]*):\/\//i.exec(text)?.[1].toLowerCase();
  if (scheme === undefined || !schemes.includes(scheme)) {
    const starts = schemes.map((name) => `${name}://`);
    throw new InputError(`this is not an address that begins with ${listed(starts)}`);
  }
  const rest = text.slice(scheme.length + 3);
  // In user:12/34@host the password looks like a port: the host would be "user".
  if (/[\s#]/.test(text) || /^[^/?#@]*:\d*[/?#].*@/.test(rest)) {
    throw new InputError(`this is not a valid ${scheme}:// address; ${giveApart}`);
  }
  // Variables that were filled in are percent-encoded.
  if (/^[^/?#@]*\$[A-Z][A-Z0-9_]*@/.test(rest)) throw new InputError(`a variable is written with braces: \${NAME}`);
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${error.message}; ${giveApart}`);
    throw error;
  }
}

/**
 * A source as the engine opens it: an address with its login, `device:/dev/…`, or an absolute path.
 * @param folder that relative paths start from
 * @throws InputError if it is none of these
 */
export function sourceOf(text: string, folder: string): string {
  if (isAddress(text)) {
    checkAddress(text, ["rtsp", "rtsps", "http", "https"]);
    return text;
  }
  refuseScheme(text);
  if (/^(https?|rtsps?):/i.test(text)) throw new InputError("an address needs :// behind rtsp, rtsps, http or https");
  const device = /^device:(.*)$/.exec(text)?.[1];
  if (device === undefined) return pathOf(text, folder);
  if (!/^\/dev\/./.test(device) || posix.normalize(device) !== device) {
    throw new InputError("a device is named as device:/dev/video0");
  }
  return text;
}

/**
 * An address with a login that was given apart.
 * @throws InputError if it is no address, or holds a login of its own
 */
export function withLoginParts(source: string, { user, password }: LoginParts): string {
  if (user === undefined && password === undefined) return source;
  if (user === undefined) throw new InputError("it has a password, and no user");
  if (!isAddress(source)) throw new InputError("only an address may have a user and a password");
  if (parseAddress(source).login) throw new InputError("the URL holds a login already; give it in one place");
  const login = [user, ...(password === undefined ? [] : [password])].map(encodeURIComponent).join(":");
  return source.replace("://", () => `://${login}@`);
}

/** An absolute path. @throws InputError for what a shell would expand */
export function pathOf(text: string, folder: string): string {
  if (text === "-") throw new InputError("the standard input cannot be named here");
  // A shell would expand it; here it would become a folder of this name.
  if (/^~(\/|$)/.test(text)) throw new InputError(`~ is not known here; write \${HOME}`);
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(text)) throw new InputError("this is an address, not a path");
  return resolve(folder, text);
}

/**
 * What must not be shown of an address: its password, and values of its query that look like keys.
 * @param variables that were filled into it: they are secrets, unless they are its host or its user
 * or an address themselves
 */
export function secretsOfAddress(text: string, variables: readonly string[]): string[] {
  const { url, login } = parseAddress(text);
  const query = [...url.searchParams].filter(([name]) => secretParameter.test(name)).map(([, value]) => value);
  const isOpen = (value: string): boolean =>
    isAddress(value) || url.host.toLowerCase().includes(value.toLowerCase()) || value === login?.user;
  return [login?.password ?? "", ...query, ...variables.filter((value) => !isOpen(value))].filter((one) => one !== "");
}

/** Where the web page is by default. */
export const usualListen = { host: "127.0.0.1", port: 8377 };

/** An address without its login, and the login. */
export function splitLogin(address: Address): { url: string; login?: Login } {
  return { url: address.url.href, login: address.login };
}

/**
 * Reads HOST:PORT; an IPv6 host stands in brackets.
 * @returns undefined if it is something else
 */
export function parseListen(text: string): { host: string; port: number } | undefined {
  const [, inBrackets, plain, digits] = /^(?:\[([\da-f:.]+)\]|([a-z\d.-]+)):(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  if (!(port <= 65_535) || (inBrackets && isIP(inBrackets) !== 6)) return undefined;
  if (plain && /^[\d.]+$/.test(plain) && isIP(plain) !== 4) return undefined;
  return { host: inBrackets ?? plain, port };
}

/** Whether a host is this machine only. */
export const isLoopback = (host: string): boolean =>
  host.toLowerCase() === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/**
 * Ids for cameras that have none: the names of their hosts, devices or files, made unique.
 * @param sources as {@link sourceOf} takes them
 */
export function cameraIds(sources: readonly string[]): string[] {
  const ids: string[] = [];
  for (const source of sources) {
    const id = idFrom(nameOfSource(source)) || "camera";
    let unique = id;
    for (let n = 2; ids.includes(unique); n++) unique = `${id.slice(0, 34)}-${n}`;
    ids.push(unique);
  }
  return ids;
}

function nameOfSource(source: string): string {
  if (!isAddress(source)) return posix.basename(source.replaceAll("\\", "/")).replace(/\.[^.]+$/, "");
  const host = URL.canParse(source) ? new URL(source).hostname : "";
  return isIP(host) === 0 && !host.startsWith("[") ? host.split(".")[0] : host;
}

const idFrom = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "-")
    .replace(/^[_-]+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");

/** Words with commas, and "or" before the last one. */
export const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
