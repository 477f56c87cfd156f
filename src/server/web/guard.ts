// Who may ask at all: the right host, and no page of another site. It keeps pages of the internet
// from a camera in somebody's house, whose browser reaches both.

import { isIP } from "node:net";
import { hostname } from "node:os";
import type { MiddlewareHandler } from "hono";
import { isLoopback } from "../config/address.js";
import { bearerOf } from "./login.js";

/** By which names the page may be asked for, besides those of this machine for itself. */
export interface GuardOptions {
  /** The address that it listens at. */
  host?: string;
  /** More names, such as that of a proxy before it. */
  hosts?: readonly string[];
  /** Everything but /livez needs it. Without one, whoever reaches the page may look and change. */
  token?: string;
}

/** Headers of every response. */
const headers = {
  "Content-Security-Policy": [
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; "),
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-store",
} as const;

/** Sets headers and refuses requests that come from elsewhere. */
export function guard(options: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    const host = c.req.header("host") ?? "";
    if (!isOwnHost(host, options)) {
      return c.json({ error: "this name is not the page's: ask for the host of the configuration" }, 403);
    }
    const isProgram = options.token !== undefined && bearerOf(c) !== undefined;
    const why = isRead(c.req.method) ? crossSiteRead(c.req.raw) : crossSiteWrite(c.req.raw, host, isProgram);
    return why === undefined ? next() : c.json({ error: why }, 403);
  };
}

const isRead = (method: string): boolean => method === "GET" || method === "HEAD";

/**
 * Whether a Host header names this page. A name of the internet that leads here (DNS rebinding) is
 * none of these; an address in numbers cannot be such a name.
 */
function isOwnHost(header: string, { host = "", hosts = [] }: GuardOptions): boolean {
  const [, inBrackets, plain] = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(header) ?? [];
  const name = (inBrackets ?? plain ?? "").toLowerCase();
  if (name === "") return false;
  if (isLoopback(name) || [host, ...hosts].some((own) => own.toLowerCase() === name)) return true;
  if (host !== "0.0.0.0" && host !== "::") return false;
  return isIP(name) !== 0 || name === hostname().toLowerCase();
}

/** Pages of other sites may link to this one, but not show or read parts of it. */
function crossSiteRead(request: Request): string | undefined {
  const site = request.headers.get("sec-fetch-site") ?? "none";
  if (site === "none" || site === "same-origin") return undefined;
  const isLink =
    request.headers.get("sec-fetch-mode") === "navigate" && request.headers.get("sec-fetch-dest") === "document";
  return isLink ? undefined : "another site's page may not ask for this";
}

/**
 * Pages of other sites change nothing. A browser sends their requests without a bearer token, so
 * one that brings a token is a program's, and needs no Origin; the token is checked afterwards.
 */
function crossSiteWrite(request: Request, host: string, isProgram: boolean): string | undefined {
  if (isProgram && !request.headers.has("origin")) return undefined;
  const site = request.headers.get("sec-fetch-site") ?? "same-origin";
  const origin = request.headers.get("origin") ?? "";
  const isOwn = ["http", "https"].some((scheme) => origin === originOf(`${scheme}://${host}`));
  if (site === "same-origin" && isOwn) return undefined;
  return "changes need the Origin header of this page";
}

const originOf = (address: string): string | undefined => (URL.canParse(address) ? new URL(address).origin : undefined);
