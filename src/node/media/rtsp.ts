// A camera that speaks RTSP. ffmpeg reads it through a relay in this process, which alone knows the
// host, the name and the password, and follows no redirect.
import { randomBytes } from "node:crypto";
import { type AddressInfo, connect, createServer, isIP, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type Address, authorization, connectionReason, resolveHost } from "./address.js";
import { type DecodedInput, type Feed, openDecoded } from "./decode.js";
import { UdpPorts } from "./rtsp_udp.js";

/** A camera that says nothing for this long has failed, in ms. */
const SILENCE = 30_000;
const LONGEST_MESSAGE = 256 * 1024;

/**
 * Opens a camera by RTSP or RTSPS, as openVideo opens a file. The video comes in the connection
 * (TCP); if the camera refuses that, by UDP.
 * @param opening ends the opening
 * @throws InputError if it cannot be reached, or as openVideo does
 */
export async function openRtsp(program: string, address: Address, opening?: AbortSignal): Promise<FrameSource> {
  return openDecoded(program, await rtspInput(address), opening);
}

/** A camera as an input of ffmpeg. @throws InputError if its host is not known */
export async function rtspInput(address: Address): Promise<DecodedInput> {
  const lookup = await resolveHost(address);
  return { name: address.shown, open: () => relay(address, lookup) };
}

/** Listens on this machine for one connection of ffmpeg, and passes on what it says. */
async function relay(address: Address, lookup: LookupFunction): Promise<Feed> {
  const token = randomBytes(16).toString("hex");
  let local = "";
  let relayed: Relayed | undefined;
  const server = createServer((client) => {
    // One connection: others of this machine are none of ours.
    server.close();
    relayed = new Relayed(address, client, connectCamera(address, lookup), local);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  local = `rtsp://127.0.0.1:${(server.address() as AddressInfo).port}/${token}`;
  return {
    args: [
      ...["-rtsp_transport", "tcp", "-allowed_media_types", "video"],
      // For a camera's UDP packets that overtake one another.
      ...["-reorder_queue_size", "32"],
      ...["-protocol_whitelist", "tcp,rtp,rtsp", "-i", local],
    ],
    hidden: local,
    failure: () => relayed?.failure,
    close: async () => {
      server.close();
      relayed?.close();
    },
  };
}

function connectCamera({ url }: Address, lookup: LookupFunction): Socket {
  const isSecure = url.protocol === "rtsps:";
  const port = Number(url.port) || (isSecure ? 322 : 554);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // A certificate may be asked for by name only, not by an IP address (RFC 6066).
  if (isSecure) return connectTls({ host, port, lookup, ...(isIP(host) ? {} : { servername: host }) });
  return connect({ host, port, lookup });
}

/** ffmpeg's connection, and the camera's. */
class Relayed {
  /** What ended the stream before its end. */
  failure: InputError | undefined;
  /** Whether the camera has said that the stream ends, or ffmpeg has left. */
  private isOver = false;
  private readonly talk: Conversation;
  private readonly udp: UdpPorts[] = [];

  constructor(
    private readonly address: Address,
    private readonly client: Socket,
    private readonly camera: Socket,
    local: string,
  ) {
    const { shown } = address;
    this.talk = new Conversation(address, local);
    const timer = setTimeout(() => {
      // While frames are waited for elsewhere, the camera is not read; by UDP, ports listen.
      if (this.udp.length > 0 || camera.isPaused()) timer.refresh();
      else this.fail(silent(shown));
    }, SILENCE);
    camera.on("data", () => timer.refresh());
    camera.on("close", () => clearTimeout(timer));
    client.on("data", this.guarded(new Messages((message) => this.fromClient(message))));
    camera.on("data", this.guarded(new Messages((message) => this.fromCamera(message))));
    client.on("error", () => camera.destroy());
    client.on("close", () => {
      this.isOver = true;
      camera.destroy();
    });
    camera.on("error", (error) => this.fail(new InputError(`${shown} cannot be reached: ${connectionReason(error)}`)));
    camera.on("close", () => this.fail(new InputError(`${shown}: the camera closed the connection`)));
  }

  close(): void {
    this.isOver = true;
    for (const ports of this.udp) ports.close();
    this.camera.destroy();
    this.client.destroy();
  }

  /** ffmpeg still gets what has come before. */
  private fail(error: InputError): void {
    if (!this.isOver) this.failure ??= error;
    for (const ports of this.udp) ports.close();
    this.camera.destroy();
    this.client.end();
  }

  private guarded(messages: Messages): (chunk: Buffer) => void {
    return (chunk) => {
      try {
        messages.push(chunk);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        this.fail(new InputError(`${this.address.shown}: ${error.message}`));
      }
    };
  }

  private fromClient(message: Buffer): void {
    if (!isPacket(message)) this.camera.write(this.talk.request(message));
    else if (this.udp.length === 0) this.camera.write(message);
    else for (const ports of this.udp) ports.send(message);
  }

  private fromCamera(message: Buffer): void {
    if (isPacket(message)) {
      this.packet(message);
      return;
    }
    const { answer, again, refusesTcp } = this.talk.answer(message);
    if (refusesTcp) void this.changeToUdp(refusesTcp.channel);
    if (again) this.camera.write(again);
    if (answer) this.client.write(answer);
  }

  /** Passes on a packet of video (RTP), or one about it (RTCP). */
  private packet(message: Buffer): void {
    if (this.client.writableEnded) return;
    if (isGoodbye(message)) this.isOver = true;
    if (this.client.write(message) || this.udp.length > 0) return;
    this.camera.pause();
    this.client.once("drain", () => this.camera.resume());
  }

  private async changeToUdp(channel: number): Promise<void> {
    const { camera, address } = this;
    try {
      const ports = await UdpPorts.open(camera, channel, SILENCE, {
        packet: (message) => {
          // What ffmpeg does not take in time is lost, as anything by UDP may be.
          if (this.client.writableLength < MOST_WAITING) this.packet(message);
        },
        silent: () => this.fail(silent(address.shown)),
      });
      if (camera.destroyed) return ports.close();
      this.udp.push(ports);
      camera.write(this.talk.setupByUdp(ports));
    } catch (error) {
      this.fail(new InputError(`${address.shown}: no ports for UDP: ${connectionReason(error)}`));
    }
  }
}

/** Bytes of UDP packets that wait for ffmpeg. */
const MOST_WAITING = 8 * 2 ** 20;

function silent(shown: string): InputError {
  return new InputError(`${shown}: the camera says nothing for ${SILENCE / 1000} s`);
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

/** Whether a packet says that its sender leaves: RTCP's BYE, which may follow other reports. */
function isGoodbye(message: Buffer): boolean {
  for (let at = 4; at + 4 <= message.length; at += 4 + 4 * message.readUInt16BE(at + 2)) {
    const type = message[at + 1];
    if (message[at] >> 6 !== 2 || type < 200 || type > 207) return false;
    if (type === 203) return true;
  }
  return false;
}

/** Undefined if the head is not complete. */
function messageLength(bytes: Buffer): number | undefined {
  if (isPacket(bytes)) return bytes.length < 4 ? undefined : 4 + bytes.readUInt16BE(2);
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  return end + 4 + (Number(/^content-length: *(\d+)/im.exec(head)?.[1]) || 0);
}

/** What an answer of the camera leads to. */
interface Reaction {
  /** Goes on to ffmpeg. */
  answer?: Buffer;
  /** Goes back to the camera. */
  again?: Buffer;
  /** The video cannot come in the connection; `channel` is where ffmpeg expects it. */
  refusesTcp?: { channel: number };
}

/** What is changed on the way, and what the camera was asked last. */
class Conversation {
  private last = "";
  private challenge: string | undefined;
  private wasRepeated = false;
  private ports: UdpPorts | undefined;
  private readonly target: string;

  constructor(
    private readonly address: Address,
    private readonly local: string,
  ) {
    const { url } = address;
    this.target = `rtsp://${url.host}${url.pathname}${url.search}`;
  }

  /** A request of ffmpeg's, as the camera gets it. */
  request(message: Buffer): Buffer {
    this.last = message.toString("latin1").replaceAll(this.local, () => this.target);
    this.wasRepeated = false;
    this.ports = undefined;
    return this.authorized();
  }

  /** The last request, for UDP. */
  setupByUdp(ports: UdpPorts): Buffer {
    this.ports = ports;
    this.wasRepeated = false;
    this.last = this.last.replace(/^transport:.*$/im, `Transport: RTP/AVP;unicast;client_port=${ports.own.join("-")}`);
    return this.authorized();
  }

  /** The last request, with the header that answers the camera's challenge. */
  private authorized(): Buffer {
    const { login } = this.address;
    const [, method = "", uri = ""] = /^(\S+) (\S+)/.exec(this.last) ?? [];
    const header =
      login && this.challenge !== undefined ? authorization(login, this.challenge, method, uri) : undefined;
    const text = header === undefined ? this.last : this.last.replace("\r\n", () => `\r\nAuthorization: ${header}\r\n`);
    return Buffer.from(text, "latin1");
  }

  /** @throws InputError if the camera refuses what it was asked for, or redirects */
  answer(message: Buffer): Reaction {
    const text = message.toString("latin1");
    const [, code = "", reason = ""] = /^RTSP\/\d\.\d (\d{3}) *([^\r\n]*)/.exec(text) ?? [];
    const status = Number(code);
    const method = /^\S*/.exec(this.last)?.[0] ?? "";
    if (status >= 300 && status < 400)
      throw new InputError("the camera redirects to another address, which is not followed");
    if (status === 401) return { again: this.loggedIn(text) };
    if (method === "SETUP") {
      const transport = /^transport:.*$/im;
      const channel = Number(/interleaved=(\d+)/i.exec(this.last)?.[1] ?? Number.NaN);
      if (status === 461 && !Number.isNaN(channel)) return { refusesTcp: { channel } };
      if (status === 200 && this.ports) {
        this.ports.greet(Number(/server_port=(\d+)/i.exec(text)?.[1]));
        const { first } = this.ports;
        const inside = `Transport: RTP/AVP/TCP;unicast;interleaved=${first}-${first + 1}`;
        return { answer: Buffer.from(text.replace(transport, inside), "latin1") };
      }
    }
    if (status >= 400 && /^(DESCRIBE|SETUP|PLAY)$/.test(method)) {
      throw new InputError(`the camera answers ${status} ${oneLine(reason)}`.trim());
    }
    return { answer: message };
  }

  /** The last request again, with name and password. */
  private loggedIn(text: string): Buffer {
    if (!this.address.login) throw new InputError("the camera needs a name and a password (rtsp://NAME:PASSWORD@…)");
    if (this.wasRepeated) throw new InputError("the camera refuses this name and password");
    this.wasRepeated = true;
    this.challenge = [...text.matchAll(/^www-authenticate: *(.*)$/gim)].map((match) => match[1].trim()).join(", ");
    return this.authorized();
  }
}
