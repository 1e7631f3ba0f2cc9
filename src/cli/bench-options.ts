import { type Command, Option } from "commander";
import { MAX_COMMAND_BYTES } from "../config/options.ts";
import { addressOption, between } from "./cluster.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type Format, formatOption } from "./output.ts";

/** How proposals travel: one ProposeStream, or a Propose call each. */
export type BenchMode = "stream" | "unary";

/** What commander makes of the options. */
export interface BenchOptions {
  readonly address: string[];
  readonly output: Format;
  readonly mode: BenchMode;
  readonly inFlight?: number;
  readonly rate?: number;
  readonly size: number;
  readonly duration: number;
  readonly warmUp: number;
  readonly timeoutMs: number;
}

/** What a run does. */
export interface BenchPlan {
  readonly mode: BenchMode;
  /** Proposals without an answer, at most. */
  readonly inFlight: number;
  /** Undefined for a closed loop. */
  readonly ratePerSecond: number | undefined;
  readonly sizeBytes: number;
  readonly warmUpMs: number;
  /** The measured time. */
  readonly durationMs: number;
  /** The longest wait for an answer. */
  readonly timeoutMs: number;
}

/** Of a closed loop: what keeps a cluster busy without waiting for itself. */
const CLOSED_IN_FLIGHT = 64;
/** Of an open loop: so many that a healthy cluster never reaches it. */
const OPEN_IN_FLIGHT = 1_024;

/** So many calls one connection may have open, and so many items of a stream the server reads ahead. */
const MAX_IN_FLIGHT = 4_096;
/** All of it may wait in this process's memory. A node takes in as much by default. */
const MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024;
const MAX_RATE = 1_000_000;
const MAX_DURATION_S = 86_400;
const MAX_WARM_UP_S = 3_600;
const MIN_TIMEOUT_MS = 100;
const MAX_TIMEOUT_MS = 600_000;

export function addBenchOptions(command: Command): Command {
  const inFlightDefault = `default: ${CLOSED_IN_FLIGHT}, with --rate ${OPEN_IN_FLIGHT}, or what --size allows`;
  const inFlight = `proposals without an answer, at most ${MAX_IN_FLIGHT} (${inFlightDefault})`;
  return command
    .addOption(addressOption())
    .addOption(
      new Option("--mode <mode>", "one ProposeStream, or a Propose call each")
        .choices(["stream", "unary"])
        .default("stream"),
    )
    .option("--in-flight <N>", inFlight, between(1, MAX_IN_FLIGHT))
    .option(
      "--rate <N>",
      `proposals a second, at even moments, whatever became of earlier ones; at most ${MAX_RATE}`,
      between(1, MAX_RATE),
    )
    .option("--size <bytes>", `bytes of a command, at most ${MAX_COMMAND_BYTES}`, between(1, MAX_COMMAND_BYTES), 256)
    .option("--duration <seconds>", `how long is measured, at most ${MAX_DURATION_S}`, between(1, MAX_DURATION_S), 10)
    .option(
      "--warm-up <seconds>",
      `load before that, which isn't measured; at most ${MAX_WARM_UP_S}`,
      between(0, MAX_WARM_UP_S),
      2,
    )
    .option(
      "--timeout-ms <N>",
      `longest wait for an answer, ${MIN_TIMEOUT_MS} to ${MAX_TIMEOUT_MS}`,
      between(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS),
      10_000,
    )
    .addOption(formatOption());
}

/** Throws what is wrong with the options together. */
export function planOf(options: BenchOptions): BenchPlan {
  const { mode, rate, size, duration, warmUp, timeoutMs } = options;
  const fitting = Math.floor(MAX_IN_FLIGHT_BYTES / size);
  const inFlight = options.inFlight ?? Math.min(rate === undefined ? CLOSED_IN_FLIGHT : OPEN_IN_FLIGHT, fitting);
  if (inFlight > fitting) {
    throw new CommandError(
      EXIT.usage,
      `--in-flight ${inFlight} of --size ${size} are ${inFlight * size} bytes, more than ${MAX_IN_FLIGHT_BYTES}`,
      `With this size --in-flight must be at most ${fitting}.`,
    );
  }
  return {
    mode,
    inFlight,
    ratePerSecond: rate,
    sizeBytes: size,
    warmUpMs: warmUp * 1_000,
    durationMs: duration * 1_000,
    timeoutMs,
  };
}
