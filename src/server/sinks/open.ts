// Opens the sinks of a configuration.
import type { SinkConfig, WatchConfig } from "../config/config.js";
import type { Sink } from "../records.js";
import { commandSink } from "./command.js";
import { folderSink } from "./folder.js";
import { type MqttCamera, MqttSink, mqttSink } from "./mqtt.js";
import { webhookSink } from "./webhook.js";

/** What sinks tell, by their names, and what they need to know. */
export interface SinkListener {
  /** What must not be shown or passed on, now. */
  secrets(): readonly string[];
  onWarning(sink: string, line: string): void;
  /** A connection was lost, and why. */
  onLost?(sink: string, reason: string): void;
  /** A connection is there, for the first time or again. */
  onConnected?(sink: string): void;
  /** One of several machines that share the cameras. */
  worker?: string;
  /** Somebody switched a camera on or off. */
  onEnabled?(camera: string, enabled: boolean): void;
}

/** The cameras that a sink hears of. */
const camerasOf = (sink: SinkConfig, { cameras }: WatchConfig): MqttCamera[] =>
  cameras.filter(({ id }) => sink.cameras.includes(id)).map(({ id, name }) => ({ id, name }));

/** Tells sinks of a configuration whose cameras have changed. */
export function updateSinks(sinks: ReadonlyMap<string, Sink>, config: WatchConfig): void {
  for (const settings of config.sinks) {
    const sink = sinks.get(settings.name);
    if (sink instanceof MqttSink) sink.setCameras(camerasOf(settings, config));
  }
}

/** Tells sinks of a camera that no worker will have again. */
export function forgetCamera(sinks: ReadonlyMap<string, Sink>, id: string): void {
  for (const sink of sinks.values()) if (sink instanceof MqttSink) sink.forget(id);
}

/**
 * Opens all sinks. A sink that is not there now is no error: what is for it waits.
 * @throws InputError if a setting cannot be used
 */
export function openSinks(config: WatchConfig, listener: SinkListener): Map<string, Sink> {
  return new Map(config.sinks.map((sink) => [sink.name, openSink(sink, config, listener)]));
}

function openSink(sink: SinkConfig, config: WatchConfig, listener: SinkListener): Sink {
  const { onEnabled, secrets, worker } = listener;
  const { name } = sink;
  const warn = (line: string) => listener.onWarning(name, line);
  if (sink.type === "webhook") {
    const { url, secret, headers } = sink;
    return webhookSink({ name, url, headers, ...(secret !== undefined && { secret }) });
  }
  if (sink.type === "command") return commandSink({ name, command: sink.run, timeout: sink.timeout, secrets });
  if (sink.type === "folder") return folderSink({ name, folder: sink.path, dataFolder: config.data, onWarning: warn });
  const { url, user, password, prefix, discovery = false } = sink;
  return mqttSink({
    ...{
      name,
      url,
      prefix,
      discovery,
      onWarning: warn,
      onLost: (reason) => listener.onLost?.(name, reason),
      onConnected: () => listener.onConnected?.(name),
      cameras: camerasOf(sink, config),
    },
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(worker !== undefined && { worker }),
    ...(onEnabled && { onEnabled }),
  });
}
