// A camera that speaks RTSP. ffmpeg reads it through a relay in this process, which alone knows the
// host, the name and the password, and follows no redirect.
import { randomBytes } from "node:crypto";
import { type AddressInfo, connect, createServer, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { reasonOf } from "../files/messages.js";
import { type Address, authorization, resolveHost } from "./address.js";
import { type Feed, openDecoded } from "./decode.js";

/** A camera that says nothing for this long has failed, in ms. */
const SILENCE = 30_000;
const LONGEST_MESSAGE = 256 * 1024;

/**
 * Opens a camera by RTSP or RTSPS (over TCP), as openVideo opens a file.
 * @throws InputError if it cannot be reached, or as openVideo does
 */
export async function openRtsp(program: string, address: Address): Promise<FrameSource> {
  const lookup = await resolveHost(address);
  return openDecoded(program, { name: address.shown, open: () => relay(address, lookup) });
}

/** Listens on this machine for one connection of ffmpeg, and passes on what it says. */
async function relay(address: Address, lookup: LookupFunction): Promise<Feed> {
  const { url, shown } = address;
  const isSecure = url.protocol === "rtsps:";
  const token = randomBytes(16).toString("hex");
  const sockets = new Set<Socket>();
  let failure: InputError | undefined;
  const fail = (error: unknown): void => {
    failure ??= error instanceof InputError ? error : new InputError(`${shown} cannot be reached: ${reasonOf(error)}`);
    for (const socket of sockets) socket.destroy();
  };
  let local = "";
  const server = createServer((client) => {
    // 1. One connection: others of this machine are none of ours.
    server.close();
    const port = Number(url.port) || (isSecure ? 322 : 554);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const camera = isSecure ? connectTls({ host, port, lookup, servername: host }) : connect({ host, port, lookup });
    for (const socket of [client, camera]) sockets.add(socket.on("close", () => sockets.delete(socket)));
    camera.setTimeout(SILENCE, () => {
      // While frames are waited for elsewhere, the camera is not read.
      if (!camera.isPaused()) fail(new Error(`it says nothing for ${SILENCE / 1000} s`));
    });
    // 2. Requests get the camera's address and, once it asks, name and password.
    const talk = new Conversation(address, local);
    const toCamera = new Messages((message) => void camera.write(talk.request(message)));
    const toClient = new Messages((message) => {
      const { answer, again } = talk.answer(message);
      if (again) camera.write(again);
      if (answer && !client.write(answer)) {
        camera.pause();
        client.once("drain", () => camera.resume());
      }
    });
    const guarded = (messages: Messages) => (chunk: Buffer) => {
      try {
        messages.push(chunk);
      } catch (error) {
        fail(error);
      }
    };
    client.on("data", guarded(toCamera));
    camera.on("data", guarded(toClient));
    client.on("error", () => camera.destroy());
    camera.on("error", fail);
    client.on("close", () => camera.destroy());
    camera.on("close", () => client.end());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  local = `rtsp://127.0.0.1:${(server.address() as AddressInfo).port}/${token}`;
  return {
    args: ["-rtsp_transport", "tcp", "-protocol_whitelist", "tcp,rtp,rtsp", "-i", local],
    hidden: local,
    failure: () => failure,
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Cuts a stream of RTSP into messages: requests and answers with their bodies, "$" packets. */
class Messages {
  private rest: Buffer = Buffer.alloc(0);

  constructor(private readonly onMessage: (message: Buffer) => void) {}

  push(chunk: Buffer): void {
    let bytes = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    for (;;) {
      const length = messageLength(bytes);
      if (length === undefined || length > bytes.length) break;
      this.onMessage(bytes.subarray(0, length));
      bytes = bytes.subarray(length);
    }
    if (bytes.length > LONGEST_MESSAGE) throw new InputError("the camera sends a message without an end");
    this.rest = Buffer.from(bytes);
  }
}

const isPacket = (bytes: Buffer): boolean => bytes[0] === 0x24;

/** Undefined if the head is not complete. */
function messageLength(bytes: Buffer): number | undefined {
  if (isPacket(bytes)) return bytes.length < 4 ? undefined : 4 + bytes.readUInt16BE(2);
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  return end + 4 + (Number(/^content-length: *(\d+)/im.exec(head)?.[1]) || 0);
}

/** What is changed on the way, and what the camera was asked last. */
class Conversation {
  private last = "";
  private challenge: string | undefined;
  private wasRepeated = false;
  private readonly target: string;

  constructor(
    private readonly address: Address,
    private readonly local: string,
  ) {
    const { url } = address;
    this.target = `rtsp://${url.host}${url.pathname}${url.search}`;
  }

  request(message: Buffer): Buffer {
    if (isPacket(message)) return message;
    this.last = message.toString("latin1").replaceAll(this.local, this.target);
    this.wasRepeated = false;
    return this.authorized();
  }

  /** The last request, with the header that answers the camera's challenge. */
  private authorized(): Buffer {
    const { login } = this.address;
    const [, method = "", uri = ""] = /^(\S+) (\S+)/.exec(this.last) ?? [];
    const header =
      login && this.challenge !== undefined ? authorization(login, this.challenge, method, uri) : undefined;
    const text = header === undefined ? this.last : this.last.replace("\r\n", `\r\nAuthorization: ${header}\r\n`);
    return Buffer.from(text, "latin1");
  }

  /** What goes on to ffmpeg, or again to the camera. @throws InputError if the camera redirects */
  answer(message: Buffer): { answer?: Buffer; again?: Buffer } {
    if (isPacket(message)) return { answer: message };
    const text = message.toString("latin1");
    const status = Number(/^RTSP\/\d\.\d (\d{3})/.exec(text)?.[1]);
    const { shown, login } = this.address;
    if (status >= 300 && status < 400) {
      throw new InputError(`${shown}: the camera redirects to another address, which is not followed`);
    }
    if (status === 401) {
      if (!login) throw new InputError(`${shown}: the camera needs a name and a password (rtsp://NAME:PASSWORD@…)`);
      if (this.wasRepeated) throw new InputError(`${shown}: the camera refuses this name and password`);
      this.wasRepeated = true;
      this.challenge = [...text.matchAll(/^www-authenticate: *(.*)$/gim)]
        .map((match) => match[1].trim())
        .sort((a) => (/^digest/i.test(a) ? 1 : -1))
        .join(", ");
      return { again: this.authorized() };
    }
    return { answer: message };
  }
}
