// A stream of a camera that comes by UDP, turned into "$" packets as they come in a connection.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { isIPv6, type Socket } from "node:net";

const MOST_TRIES = 20;

/** What happens at the ports. */
interface Events {
  /** A packet, framed with its channel. */
  packet(message: Buffer): void;
  /** Nothing has come for long. */
  silent(): void;
}

/** Two neighbouring ports of this machine: an even one for the video (RTP), one for RTCP. */
export class UdpPorts {
  private readonly timer: NodeJS.Timeout;
  private target = 0;

  /**
   * @param camera the connection to it: only its address may send
   * @param first the channel of the video's packets; the next one is RTCP's
   * @param silence ms
   */
  static async open(camera: Socket, first: number, silence: number, events: Events): Promise<UdpPorts> {
    const address = camera.localAddress ?? "0.0.0.0";
    for (let tries = 1; ; tries++) {
      const port = 2 * (10_000 + Math.floor(Math.random() * 20_000));
      const sockets: UdpSocket[] = [];
      try {
        for (const own of [port, port + 1]) sockets.push(await bound(address, own));
        return new UdpPorts(camera.remoteAddress ?? "", first, [port, port + 1], sockets, silence, events);
      } catch (error) {
        for (const socket of sockets) socket.close();
        if (tries === MOST_TRIES) throw error;
      }
    }
  }

  private constructor(
    private readonly remote: string,
    readonly first: number,
    readonly own: readonly [number, number],
    private readonly sockets: UdpSocket[],
    silence: number,
    events: Events,
  ) {
    this.timer = setTimeout(() => events.silent(), silence);
    for (const [i, socket] of sockets.entries()) {
      socket.on("message", (bytes, { address }) => {
        if (address !== remote) return;
        this.timer.refresh();
        const head = Buffer.from([0x24, first + i, bytes.length >> 8, bytes.length & 255]);
        events.packet(Buffer.concat([head, bytes]));
      });
      // An answer "nobody is there", by ICMP: that the camera is gone shows otherwise.
      socket.on("error", () => {});
    }
  }

  /**
   * Learns where the camera sends from, and sends packets without content there: they let a
   * firewall of this machine expect its packets.
   * @param port of its video; the next one is RTCP's
   */
  greet(port: number): void {
    this.target = port > 0 && port < 65_535 ? port : 0;
    const [video, control] = [this.first, this.first + 1];
    this.send(Buffer.from([0x24, video, 0, 1, 0]));
    this.send(Buffer.from([0x24, control, 0, 8, 0x80, 201, 0, 1, 0, 0, 0, 0]));
  }

  /** Sends a "$" packet to the camera, if it is of these channels. */
  send(message: Buffer): void {
    const i = message[1] - this.first;
    if (this.target > 0) this.sockets[i]?.send(message.subarray(4), this.target + i, this.remote);
  }

  close(): void {
    clearTimeout(this.timer);
    for (const socket of this.sockets.splice(0)) socket.close();
  }
}

function bound(address: string, port: number): Promise<UdpSocket> {
  const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", recvBufferSize: 2 ** 20 });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind(port, address, () => resolve(socket.removeAllListeners("error")));
  });
}
