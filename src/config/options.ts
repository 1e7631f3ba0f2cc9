import { z } from "zod";
import { RETENTION_POLICIES } from "../node/retention.ts";
import {
  address,
  clusterName,
  flag,
  initialCluster,
  nodeId,
  path,
  socketPath,
  wholeNumber,
  wholeNumberOrAuto,
} from "./schemas.ts";

type Unit = "ms" | "bytes" | "bytes/s" | "entries" | "proposals" | "reads" | "connections" | "streams";

/** One option of `serve`, whatever it is set by. */
export interface Option<T = unknown> {
  /** Without the dashes; the key in the YAML file. The environment variable is made from it. */
  readonly key: string;
  /** What stands for the value in the help; undefined for a switch. */
  readonly placeholder: string | undefined;
  /** Undefined when it follows from other options; then `derived` says from which. */
  readonly default: string | undefined;
  readonly derived?: string;
  readonly unit?: Unit;
  readonly doc: string;
  /** From text, as it comes from the command line and the environment. */
  readonly schema: z.ZodType<T, string>;
}

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * A command travels in messages of at most 2 MiB, whose other fields need far less than 1 KiB.
 */
export const MAX_COMMAND_BYTES = 2 * MiB - KiB;

/** More than any disk has to keep free. */
const MAX_FREE_BYTES = 1024 * 1024 * MiB;

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** Every option of `serve`: the one place that knows its name, default, unit, limits and meaning. */
export const OPTIONS = {
  id: option("id", "ID", "n1", nodeId, "This node's name, unique in the cluster and for ever"),
  dataDir: option("data-dir", "DIR", "./raft-data", path, "Where the log is kept; made when missing"),
  clientAddress: option("client-address", "H:P", "127.0.0.1:7420", address, "Listens for applications and operators"),
  peerAddress: option("peer-address", "H:P", "127.0.0.1:7421", address, "Listens for the other members"),
  httpAddress: option("http-address", "H:P", "127.0.0.1:7422", address, "Serves /livez and /readyz"),
  clientSocket: option("client-socket", "PATH", "", socketPath, "Listens for applications on a unix socket too"),
  advertiseClientAddress: derived(
    option("advertise-client-address", "H:P", undefined, address, "What other nodes tell clients to dial"),
    "as --client-address",
  ),
  advertisePeerAddress: derived(
    option("advertise-peer-address", "H:P", undefined, address, "What this node calls its peer address"),
    "as --peer-address",
  ),
  initialCluster: derived(
    option(
      "initial-cluster",
      "ID=H:P,…",
      undefined,
      initialCluster,
      "All voters of the new cluster, this one included",
    ),
    "this node alone",
  ),
  clusterId: option("cluster-id", "NAME", "default", clusterName, "Nodes of another cluster are refused"),
  insecure: option("insecure", undefined, "false", flag, "Allows listeners off loopback, which have no TLS"),
  electionTimeoutMinMs: measured(
    "election-timeout-min-ms",
    400,
    20,
    60_000,
    "ms",
    "Shortest silence before an election",
  ),
  electionTimeoutMaxMs: measured(
    "election-timeout-max-ms",
    800,
    21,
    120_000,
    "ms",
    "Longest silence before an election",
  ),
  heartbeatMs: measured("heartbeat-ms", 100, 1, 30_000, "ms", "How often an idle leader is heard"),
  tickMs: measured("tick-ms", 10, 1, 1_000, "ms", "The step of the node's clock"),
  maxCommandBytes: measured("max-command-bytes", MiB, 1, MAX_COMMAND_BYTES, "bytes", "Largest command"),
  maxProposals: measured("max-proposals", 8_192, 1, 1_048_576, "proposals", "Proposals without an answer on this node"),
  maxReads: measured("max-reads", 16_384, 1, 1_048_576, "reads", "Read barriers without an answer on this node"),
  maxProposalBytes: measured("max-proposal-bytes", 64 * MiB, 1, 4096 * MiB, "bytes", "The same, counted in bytes"),
  maxConnections: measured("max-connections", 1_024, 1, 65_536, "connections", "Connections to the client listener"),
  maxStreams: measured(
    "max-streams",
    4_096,
    1,
    65_536,
    "streams",
    "Streams on the client listener; one connection may have half",
  ),
  cacheBytes: measured("cache-bytes", 32 * MiB, MiB, 16_384 * MiB, "bytes", "Recent entries kept in memory"),
  snapshotEntries: measured(
    "snapshot-entries",
    100_000,
    1,
    1_000_000_000,
    "entries",
    "After so many the application is asked for another snapshot",
  ),
  snapshotBytes: measured(
    "snapshot-bytes",
    256 * MiB,
    MiB,
    1024 * 1024 * MiB,
    "bytes",
    "The same, in bytes of the log",
  ),
  retainEntries: measured(
    "retain-entries",
    100_000_000,
    1,
    1_000_000_000_000,
    "entries",
    "What the log keeps at most for the slowest durable subscriber",
  ),
  retainBytes: measured(
    "retain-bytes",
    16 * 1024 * MiB,
    MiB,
    1024 * 1024 * 1024 * MiB,
    "bytes",
    "The same, in bytes of the log",
  ),
  retentionPolicy: option(
    "retention-policy",
    "POLICY",
    "block-compaction",
    z.enum(RETENTION_POLICIES, { error: `must be one of ${RETENTION_POLICIES.join(", ")}` }),
    `What happens then: ${RETENTION_POLICIES.join(", ")}`,
  ),
  catchUpEntries: measured(
    "catch-up-entries",
    10_000,
    0,
    1_000_000_000,
    "entries",
    "Entries before the newest snapshot that are kept for members that lag",
  ),
  snapshotRate: measured(
    "snapshot-rate",
    64 * MiB,
    64 * KiB,
    16_384 * MiB,
    "bytes/s",
    "Snapshots' bytes a second that the other members together are sent",
  ),
  proposalTimeoutMs: measured("proposal-timeout-ms", 5_000, 100, 600_000, "ms", "Longest wait of an appended proposal"),
  minFreeBytes: {
    ...option(
      "min-free-bytes",
      "N",
      "auto",
      wholeNumberOrAuto(0, MAX_FREE_BYTES, "bytes"),
      "With less free on its disk a leader takes no proposals and a node no snapshots, " +
        `0 to ${MAX_FREE_BYTES} bytes; 0 for never, auto for the smaller of 256 MiB and 5 % of the file system`,
    ),
    unit: "bytes",
  },
  logLevel: option(
    "log-level",
    "LEVEL",
    "info",
    z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(", ")}` }),
    `Least severity logged: ${LOG_LEVELS.join(", ")}`,
  ),
} as const;

export type OptionName = keyof typeof OPTIONS;

export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[];

/** What `serve` runs with: every option, read and checked. Times in ms and sizes in bytes, as their names say. */
export type ServeConfig = { readonly [Name in OptionName]: z.output<(typeof OPTIONS)[Name]["schema"]> };

/** The environment variable of an option. */
export function environmentName(key: string): string {
  return `RAFT_SIDECAR_${key.toUpperCase().replaceAll("-", "_")}`;
}

/** The default as people read it. */
export function defaultText(it: Option): string {
  if (it.default === undefined) return it.derived ?? "";
  return it.default === "" ? "none" : it.default;
}

function option<T>(
  key: string,
  placeholder: string | undefined,
  fallback: string | undefined,
  schema: z.ZodType<T, string>,
  doc: string,
): Option<T> {
  return { key, placeholder, default: fallback, doc, schema };
}

function derived<T>(it: Option<T>, from: string): Option<T> {
  return { ...it, derived: from };
}

/** A number with a unit; its limits are inclusive and part of its description. */
function measured(key: string, fallback: number, min: number, max: number, unit: Unit, doc: string): Option<number> {
  const it = option(key, "N", String(fallback), wholeNumber(min, max, unit), `${doc}, ${min} to ${max} ${unit}`);
  return { ...it, unit };
}
