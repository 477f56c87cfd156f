// Serves an app at an address.
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { InputError } from "../../errors.js";
import { reasonOf } from "../../node/files/messages.js";

/** A page that is served. */
export interface Served {
  /** For people, on this machine. */
  url: string;
  /** Ends all connections. */
  close(): Promise<void>;
}

/** Connections at a time: each open page needs up to six. */
const MOST_CONNECTIONS = 200;

/**
 * Serves an app.
 * @param app as `webApp` makes it
 * @param at `port` 0 is any free one
 * @throws InputError if the address cannot be used
 */
export async function serveWeb(
  app: { fetch: Parameters<typeof createAdaptorServer>[0]["fetch"] },
  at: { host: string; port: number },
): Promise<Served> {
  // Without its own Request and Response: they would replace those of the whole process.
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  server.maxConnections = MOST_CONNECTIONS;
  const where = (port: number) => `${at.host.includes(":") ? `[${at.host}]` : at.host}:${port}`;
  try {
    server.listen(at.port, at.host);
    await once(server, "listening");
  } catch (error) {
    throw new InputError(`the page cannot be served at ${where(at.port)}: ${whyNot(error)}`);
  }
  const { port } = server.address() as AddressInfo;
  const isEverywhere = at.host === "0.0.0.0" || at.host === "::";
  return {
    url: `http://${isEverywhere ? `127.0.0.1:${port}` : where(port)}/`,
    close: () => close(server),
  };
}

function whyNot(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return "another program uses this port; take another one (--port)";
    case "EADDRNOTAVAIL":
      return "this machine does not have this address";
    default:
      return reasonOf(error);
  }
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
