// Sends changes of events to a web address, as JSON.
import { createHmac } from "node:crypto";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import { connectionReason, parseAddress } from "../../node/media/address.js";
import type { EventChange, Sink } from "../records.js";

/** Settings of a {@link webhookSink}. */
export interface WebhookOptions {
  /** In logs and metrics. */
  name: string;
  /** http or https. A name and password in it are sent as basic authorization. */
  url: string;
  /** Signs each request. */
  secret?: string;
  /** Sent with each request. */
  headers?: Readonly<Record<string, string>>;
  /** Seconds until a request is given up. Default: 10. */
  timeout?: number;
}

/**
 * A sink that posts each change as JSON. Any status of 200 to 299 means that it arrived. Redirects
 * are refused, so that secrets stay with the host that was named.
 *
 * `Idempotency-Key` is `ID/CHANGE`, for updates `ID/update/TIME`: the same when a change is sent
 * again. With a secret, `X-Sdmae-Signature` is `t=UNIX,v1=HEX`: the HMAC-SHA256 of the time, a dot
 * and the body.
 * @throws InputError if the address or a header cannot be used
 */
export function webhookSink(options: WebhookOptions): Sink {
  const { url, shown, login } = parseAddress(options.url);
  if (!/^https?:$/.test(url.protocol)) throw new InputError(`${shown}: webhooks are sent to http and https only`);
  const headers = fixedHeaders(options.headers);
  if (login) {
    headers.set("authorization", `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`);
  }
  const { secret, timeout = 10 } = options;
  return {
    name: options.name,
    async send(change, signal) {
      const body = JSON.stringify(change);
      const own = new Headers(headers);
      own.set("idempotency-key", keyOf(change));
      if (secret !== undefined) own.set("x-sdmae-signature", signatureOf(secret, body));
      await post({ url, shown, timeout }, own, body, signal);
    },
  };
}

/** @throws InputError that names a header that cannot be sent; its value may be a secret */
function fixedHeaders(given: Readonly<Record<string, string>> = {}): Headers {
  const headers = new Headers({ "content-type": "application/json", "user-agent": "sdmae" });
  for (const [name, value] of Object.entries(given)) {
    try {
      headers.set(name, value);
    } catch {
      throw new InputError(`the header ${oneLine(name)} of a webhook has a name or value that cannot be sent`);
    }
  }
  return headers;
}

function keyOf({ change, time, event }: EventChange): string {
  const key = change === "update" || change === "feedback" ? `${event.id}/${change}/${time}` : `${event.id}/${change}`;
  // Headers hold ASCII only. Ids of this program need no change.
  return key.replace(/[^\x21-\x7e]/g, encodeURIComponent);
}

function signatureOf(secret: string, body: string): string {
  const time = Math.floor(Date.now() / 1000);
  return `t=${time},v1=${createHmac("sha256", secret).update(`${time}.${body}`).digest("hex")}`;
}

/** @throws Error in one line, without login and query, unless the answer is a success */
async function post(
  { url, shown, timeout }: { url: URL; shown: string; timeout: number },
  headers: Headers,
  body: string,
  signal: AbortSignal,
): Promise<void> {
  const timer = AbortSignal.timeout(1000 * timeout);
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal: AbortSignal.any([signal, timer]),
    });
  } catch (error) {
    signal.throwIfAborted();
    if (timer.aborted) throw new Error(`${shown}: no answer within ${timeout} s`);
    throw new Error(`${shown}: ${connectionReason((error as Error).cause ?? error)}`);
  }
  // Nothing in the body matters, and it may be long.
  await answer.body?.cancel().catch(() => undefined);
  if (answer.status >= 300 && answer.status < 400) {
    throw new Error(`${shown}: answered ${answer.status}, a redirect; name the address it leads to instead`);
  }
  if (!answer.ok) throw new Error(`${shown}: answered ${answer.status}`);
}
