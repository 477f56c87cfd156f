// Lets only those in who know the token.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import { loginPage, refreshPage } from "./login_page.js";

/** What Hono is told of a request; absent in tests without a server. */
export type WebEnvironment = { Bindings: Partial<HttpBindings> };

/** Wrong tries of an address within a minute. */
const MOST_TRIES = 10;
const MINUTE = 60_000;
/** Addresses that are remembered. */
const MOST_ADDRESSES = 10_000;
/** Seconds that a login lasts. */
const LASTS = 30 * 24 * 3600;

/** The token that a program sends, right or wrong. */
export const bearerOf = (c: Context): string | undefined =>
  /^Bearer +(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];

/** Who knows the token, and who has guessed too often. */
export class Login {
  /** Times of wrong tries. */
  private readonly tries = new Map<string, number[]>();
  private readonly cookie: string;

  /** @param now milliseconds since 1970 */
  constructor(
    private readonly token: string,
    private readonly now: () => number = () => Date.now(),
  ) {
    // Cookies do not tell ports apart: two processes on a machine have different tokens.
    this.cookie = `sdmae_${this.sign("cookie").slice(0, 8)}`;
  }

  /** Asks for the token before everything that is routed after this call. */
  protect(app: Hono<WebEnvironment>): void {
    app.get("/login", (c) => c.redirect("/", 303));
    const limit = bodyLimit({ maxSize: 4096, onError: (c) => c.json({ error: "this is too much for a token" }, 413) });
    app.post("/login", limit, async (c) => {
      const { token } = await c.req.parseBody();
      return this.answer(c, typeof token === "string" ? token : "", "/");
    });
    app.use(async (c, next) => {
      const { token, ...others } = c.req.query();
      if (token !== undefined && c.req.method === "GET") return this.answer(c, token, ownPath(c.req.path, others));
      const bearer = bearerOf(c);
      if (bearer === undefined && this.isValid(getCookie(c, this.cookie))) return next();
      const found = bearer === undefined ? "missing" : this.check(c, bearer);
      return found === "right" ? next() : refusal(c, found);
    });
  }

  /** Answers a token with a cookie, and leads on. */
  private answer(c: Context<WebEnvironment>, token: string, path: string): Response {
    const found = this.check(c, token);
    if (found !== "right") return refusal(c, found);
    const value = this.issue();
    setCookie(c, this.cookie, value, { httpOnly: true, sameSite: "Strict", path: "/", maxAge: LASTS });
    return isFromElsewhere(c) ? c.html(refreshPage(path)) : c.redirect(path, 303);
  }

  /** Checks a token. After too many wrong ones none is right. */
  private check(c: Context<WebEnvironment>, token: string): "right" | "wrong" | "limited" {
    const address = c.env?.incoming?.socket.remoteAddress ?? "unknown";
    const now = this.now();
    const recent = (this.tries.get(address) ?? []).filter((time) => Math.abs(now - time) < MINUTE);
    if (recent.length >= MOST_TRIES) return "limited";
    if (isEqual(token, this.token)) return "right";
    // The address that tried last is the last one to be forgotten.
    this.tries.delete(address);
    this.tries.set(address, [...recent, now]);
    const [oldest] = this.tries.keys();
    if (this.tries.size > MOST_ADDRESSES) this.tries.delete(oldest);
    return "wrong";
  }

  /** A cookie's value: when it ends, signed. Other ports see it too: it does not hold the token. */
  private issue(): string {
    const end = String(this.now() + 1000 * LASTS);
    return `${end}.${this.sign(end)}`;
  }

  private isValid(value = ""): boolean {
    const [end, signature = ""] = value.split(".");
    return isEqual(signature, this.sign(end)) && Number(end) > this.now();
  }

  private sign(text: string): string {
    return createHmac("sha256", this.token).update(`sdmae ${text}`).digest("hex");
  }
}

/** Compares in a time that tells nothing of the texts. */
function isEqual(a: string, b: string): boolean {
  const [first, second] = [a, b].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(first, second);
}

const reasons = {
  missing: undefined,
  wrong: "This is not the token.",
  limited: "Too many wrong tokens: wait a minute.",
};

/** The form for people, a line for programs. */
function refusal(c: Context<WebEnvironment>, found: keyof typeof reasons): Response {
  const status = found === "limited" ? 429 : 401;
  if (found === "limited") c.header("Retry-After", "60");
  else c.header("WWW-Authenticate", "Bearer");
  const error = reasons[found];
  if (!(c.req.header("accept") ?? "").includes("text/html")) {
    return c.json({ error: error ?? "the token is missing" }, status);
  }
  // A browser that follows another site's link sends no cookie. It does when this page asks again.
  if (found === "missing" && isFromElsewhere(c)) {
    return c.html(refreshPage(ownPath(c.req.path, c.req.query())), status);
  }
  const { html, style } = loginPage(error);
  // With no-referrer, forms would have no origin.
  c.header("Referrer-Policy", "same-origin");
  const policy = ["default-src 'none'", `style-src ${style}`, "form-action 'self'", "frame-ancestors 'none'"];
  c.header("Content-Security-Policy", policy.join("; "));
  return c.html(html, status);
}

/**
 * Whether the browser comes from another site: SameSite cookies are not sent then, nor after a
 * redirect.
 */
const isFromElsewhere = (c: Context): boolean =>
  !["none", "same-origin"].includes(c.req.header("sec-fetch-site") ?? "none");

/** An address of this site; what could lead to another one becomes "/". */
function ownPath(path: string, query: Record<string, string>): string {
  if (!/^\/(?:[\w-][\w./-]*)?$/.test(path)) return "/";
  const rest = new URLSearchParams(query).toString();
  return rest === "" ? path : `${path}?${rest}`;
}
