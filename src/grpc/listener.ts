import { lstat, rm } from "node:fs/promises";
import { connect } from "node:net";
import { Server as GrpcServer, type Server, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import { Failure } from "../failure.ts";
import type { OpenStreams } from "./calls.ts";

/** A server that listens. */
export interface Listener {
  /** Where, one for each address asked for, with the port that was given for port 0. */
  readonly addresses: readonly string[];
  /**
   * Takes nothing new, ends the open streams with `failure`, which is DRAINING when it is not given, and waits for calls
   * in progress, at most `graceMs`. Then whatever is left is cut off.
   */
  close(graceMs: number, failure?: Failure): Promise<void>;
}

/** An address can't be listened on. The message says why, and what to do. */
class ListenError extends Error {
  override readonly name = "ListenError";
}

const UNIX = "unix:";

const DRAINING = new Failure("DRAINING", "this node shuts down; go on with any other");

/** Above the largest message that we accept, so that our own check answers first. */
export const MAX_RECEIVE_BYTES = 8 * 1024 * 1024;

const SERVER_OPTIONS: ServerOptions = {
  "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
  "grpc.max_concurrent_streams": 4_096,
  "grpc.enable_channelz": 0,
};

export interface ServerLimits {
  /** How long a connection may be silent until it is asked for a sign of life, and how long it then has. */
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long a connection may be without a call; for ever when not given. */
  readonly idleMs?: number;
}

export function createServer({ keepaliveTimeMs, keepaliveTimeoutMs, idleMs }: ServerLimits): Server {
  return new GrpcServer({
    ...SERVER_OPTIONS,
    "grpc.keepalive_time_ms": keepaliveTimeMs,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
    ...(idleMs === undefined ? {} : { "grpc.max_connection_idle_ms": idleMs }),
  });
}

/** Binds all of `addresses`, each host:port or unix:PATH. Rejects with a ListenError, and then listens on none. */
export async function listen(server: Server, addresses: readonly string[], streams: OpenStreams): Promise<Listener> {
  const bound: string[] = [];
  for (const address of addresses) {
    try {
      if (address.startsWith(UNIX)) await removeStaleSocket(address.slice(UNIX.length));
      bound.push(await bind(server, address));
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
  }
  return { addresses: bound, close: (graceMs, failure = DRAINING) => close(server, streams, graceMs, failure) };
}

function bind(server: Server, address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error !== null) return reject(listenError(address, error));
      resolve(address.startsWith(UNIX) ? address : `${address.slice(0, address.lastIndexOf(":"))}:${port}`);
    });
  });
}

/**
 * A process that was killed leaves its socket's file behind, and nobody can listen there until it is removed. Only what
 * is a socket is: Linux refuses a connection to any other file as it refuses one to a socket without a listener.
 */
async function removeStaleSocket(path: string): Promise<void> {
  // What can't be looked at can't be bound either, which then says why.
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    const hint = "choose another path, or move away what is there";
    throw new ListenError(`can't listen on ${UNIX}${path}: it is not a socket: ${hint}`);
  }
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
  });
  if (isStale) await rm(path, { force: true });
}

function listenError(address: string, error: Error): ListenError {
  if (error.message.includes("EADDRINUSE")) {
    const hint = "stop what listens there, or choose another address";
    return new ListenError(`the address ${address} is in use: ${hint}`, { cause: error });
  }
  return new ListenError(`can't listen on ${address}: ${error.message}`, { cause: error });
}

async function close(server: Server, streams: OpenStreams, graceMs: number, failure: Failure): Promise<void> {
  const ended = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  streams.endAll(failure);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
  server.forceShutdown();
}
