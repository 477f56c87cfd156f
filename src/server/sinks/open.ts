// Opens the sinks of a configuration.
import type { CameraConfig, SinkConfig, WatchConfig } from "../config/config.js";
import type { Sink } from "../records.js";
import { commandSink } from "./command.js";
import { folderSink } from "./folder.js";
import { mqttSink } from "./mqtt.js";
import { webhookSink } from "./webhook.js";

/** What sinks tell, by their names. */
export interface SinkListener {
  onWarning(sink: string, line: string): void;
  /** A connection was lost, and why. */
  onLost?(sink: string, reason: string): void;
  /** A connection is there, for the first time or again. */
  onConnected?(sink: string): void;
  /** Somebody switched a camera on or off. */
  onEnabled?(camera: string, enabled: boolean): void;
}

/**
 * Opens all sinks. A sink that is not there now is no error: what is for it waits.
 * @throws InputError if a setting cannot be used
 */
export function openSinks(config: WatchConfig, listener: SinkListener): Map<string, Sink> {
  return new Map(config.sinks.map((sink) => [sink.name, openSink(sink, config, listener)]));
}

function openSink(sink: SinkConfig, { data, cameras, secrets }: WatchConfig, listener: SinkListener): Sink {
  const { onEnabled } = listener;
  const { name } = sink;
  const warn = (line: string) => listener.onWarning(name, line);
  if (sink.type === "webhook") {
    const { url, secret, headers } = sink;
    return webhookSink({ name, url, headers, ...(secret !== undefined && { secret }) });
  }
  if (sink.type === "command") return commandSink({ name, command: sink.run, timeout: sink.timeout, secrets });
  if (sink.type === "folder") return folderSink({ name, folder: sink.path, dataFolder: data, onWarning: warn });
  const { url, user, password, prefix, discovery = false } = sink;
  const known = cameras.filter(({ id }: CameraConfig) => sink.cameras.includes(id));
  return mqttSink({
    ...{
      name,
      url,
      prefix,
      discovery,
      onWarning: warn,
      onLost: (reason) => listener.onLost?.(name, reason),
      onConnected: () => listener.onConnected?.(name),
      cameras: known.map(({ id, name: shown }) => ({ id, name: shown })),
    },
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(onEnabled && { onEnabled }),
  });
}
