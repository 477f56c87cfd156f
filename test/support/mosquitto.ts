// A real MQTT broker: mosquitto, if this machine has it.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

/** Whether `mosquitto` is on the PATH, or where Debian puts it. */
export const hasMosquitto: boolean = programOf() !== undefined;

/** Starts a broker without a memory of earlier ones. @param folder for its configuration */
export async function startMosquitto(folder: string, port: number): Promise<ChildProcess> {
  writeFileSync(`${folder}/mosquitto.conf`, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
  const child = spawn(programOf()!, ["-c", `${folder}/mosquitto.conf`], { stdio: "ignore" });
  while (child.exitCode === null && !(await listens(port))) await wait(50);
  return child;
}

function programOf(): string | undefined {
  return ["mosquitto", "/usr/sbin/mosquitto"].find((program) => {
    try {
      // It prints its version, and ends with 3.
      execFileSync(program, ["-h"], { stdio: "ignore" });
      return true;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== "ENOENT";
    }
  });
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
