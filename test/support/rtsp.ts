// A camera for tests: serves an MPEG transport stream by RTSP, in the connection or by UDP.
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** What the camera does other than serve its video. */
export interface CameraOptions {
  /** Ask for this login, by Digest or by Basic. */
  login?: { user: string; password: string; scheme: "Digest" | "Basic" };
  /** Redirect every DESCRIBE there. */
  redirect?: string;
  /** Send by UDP only. */
  udp?: boolean;
  /** Close the connection after the video without saying goodbye. */
  breaksOff?: boolean;
}

/** The camera's address, and what it was asked. */
export interface Camera {
  port: number;
  requests: string[];
  /** Serves a connection that was made elsewhere. */
  accept(socket: Socket): void;
  close(): void;
}

const md5 = (text: string) => createHash("md5").update(text).digest("hex");

/** Whether a request's Authorization header is that of the login (RFC 2617 without qop). */
function isAllowed(request: string, { user, password, scheme }: NonNullable<CameraOptions["login"]>): boolean {
  const header = /^Authorization: (.*)$/m.exec(request)?.[1].trim() ?? "";
  if (scheme === "Basic") return header === `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const [method, uri] = request.split(" ");
  const wanted = md5(`${md5(`${user}:cam:${password}`)}:abc:${md5(`${method}:${uri}`)}`);
  return header.includes(`response="${wanted}"`);
}

export async function startCamera(
  video: Buffer,
  { login, redirect, udp, breaksOff }: CameraOptions = {},
): Promise<Camera> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let clientPort = 0;
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0 && !text.startsWith("$"); end = text.indexOf("\r\n\r\n")) {
        const request = text.slice(0, end);
        text = text.slice(end + 4);
        requests.push(request);
        answer(socket, request);
      }
    });
  };
  const server = createServer(accept);
  const answer = (socket: Socket, request: string) => {
    const [method, uri] = request.split(" ");
    const reply = (status: string, headers: string[] = [], body = "") => {
      const cseq = /^CSeq: *(\d+)/im.exec(request)?.[1];
      const length = body === "" ? [] : [`Content-Length: ${body.length}`];
      socket.write([`RTSP/1.0 ${status}`, `CSeq: ${cseq}`, ...headers, ...length, "", body].join("\r\n"));
    };
    if (method === "OPTIONS") return reply("200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"]);
    if (login && !isAllowed(request, login)) {
      return reply("401 Unauthorized", [`WWW-Authenticate: ${login.scheme} realm="cam", nonce="abc"`]);
    }
    if (method === "DESCRIBE" && redirect !== undefined) return reply("302 Moved", [`Location: ${redirect}`]);
    if (method === "DESCRIBE") {
      const sdp = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=x", "t=0 0", "m=video 0 RTP/AVP 33", "a=control:track1", ""];
      return reply("200 OK", [`Content-Base: ${uri}/`, "Content-Type: application/sdp"], sdp.join("\r\n"));
    }
    const ports = /client_port=(\d+)-(\d+)/.exec(request);
    if (method === "SETUP" && udp && !ports) return reply("461 Unsupported Transport");
    if (method === "SETUP" && udp) {
      clientPort = Number(ports?.[1]);
      return reply("200 OK", [`Transport: RTP/AVP;unicast;client_port=${ports?.[1]}-${ports?.[2]}`, "Session: 7"]);
    }
    if (method === "SETUP") {
      return reply("200 OK", ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 7"]);
    }
    reply("200 OK", ["Session: 7"]);
    if (method !== "PLAY") return;
    const sender = udp ? createSocket("udp4") : undefined;
    const send = (channel: number, packet: Buffer) => {
      if (sender) sender.send(packet, clientPort + channel, "127.0.0.1");
      else socket.write(Buffer.concat([Buffer.from([0x24, channel, packet.length >> 8, packet.length & 255]), packet]));
    };
    // Seven transport packets to each RTP packet of payload type 33.
    for (let at = 0, sequence = 0; at < video.length; at += 7 * 188, sequence++) {
      const head = Buffer.alloc(12);
      head.set([0x80, 33]);
      head.writeUInt16BE(sequence, 2);
      head.writeUInt32BE(sequence * 900, 4);
      send(0, Buffer.concat([head, video.subarray(at, at + 7 * 188)]));
    }
    if (!breaksOff) send(1, Buffer.from([0x81, 203, 0, 1, 0, 0, 0, 0]));
    setTimeout(() => {
      sender?.close();
      socket.end();
    }, 200);
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    accept,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
