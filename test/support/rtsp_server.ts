// A real RTSP server for tests: GStreamer's, as Debian has it (gir1.2-gst-rtsp-server-1.0 and
// python3-gi), installed or unpacked by test/support/gstreamer.sh into SDMAE_GSTREAMER.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("rtsp_server.py", import.meta.url));
const python = "/usr/bin/python3";

function environment(): NodeJS.ProcessEnv {
  const folder = process.env.SDMAE_GSTREAMER;
  if (!folder) return process.env;
  const triple = readdirSync(join(folder, "usr/lib")).find((name) => name.includes("-linux-")) ?? "";
  const libraries = join(folder, "usr/lib", triple);
  return {
    ...process.env,
    LD_LIBRARY_PATH: libraries,
    PYTHONPATH: join(folder, "usr/lib/python3/dist-packages"),
    GI_TYPELIB_PATH: join(libraries, "girepository-1.0"),
    GIO_MODULE_DIR: join(libraries, "gio/modules"),
    GST_PLUGIN_SYSTEM_PATH: join(libraries, "gstreamer-1.0"),
    GST_PLUGIN_SCANNER: join(libraries, "gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"),
    GST_REGISTRY: join(folder, "registry.bin"),
  };
}

/** Whether the server can be started here; else a line says why not. */
export function hasRtspServer(): boolean {
  const load =
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; Gst.init(None); " +
    "assert all(map(Gst.ElementFactory.find, ['qtdemux', 'rtph264pay', 'rtpbin', 'udpsink']))";
  if (existsSync(python) && spawnSync(python, ["-c", load], { env: environment() }).status === 0) return true;
  console.log("skipped: a real RTSP server: GStreamer's is missing (test/support/gstreamer.sh unpacks it)");
  return false;
}

/** What the server does. */
export interface RtspServerSettings {
  /** GStreamer's, as gst-launch takes it; it ends in a payloader named pay0. */
  pipeline: string;
  /** Refuse TCP. */
  udp?: boolean;
  login?: { user: string; password: string; scheme: "Digest" | "Basic" };
  /** Files in PEM: then it speaks rtsps. */
  tls?: { certificate: string; key: string };
}

/** A running server; its video is at /live. */
export interface RtspServer {
  port: number;
  process: ChildProcess;
}

export async function startRtspServer(settings: RtspServerSettings): Promise<RtspServer> {
  const child = spawn(python, [program, JSON.stringify(settings)], {
    env: environment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface(child.stdout)) return { port: Number(line), process: child };
  throw new Error("the RTSP server has ended");
}
