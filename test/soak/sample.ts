import type { LoadSample } from "./stream-load.ts";

export interface NodeSample {
  /** Bytes; 0 while it is down. */
  readonly resident: number;
  readonly disk: number;
  /** 0 while it is down. */
  readonly first: number;
  readonly last: number;
}

/** What was seen in one interval. */
export interface Sample {
  /** At its end, since the start. */
  readonly seconds: number;
  readonly intervalSeconds: number;
  readonly load: LoadSample;
  readonly nodes: readonly NodeSample[];
  /** Put since the start. */
  readonly snapshots: number;
  /** Whether one was being put, or pulled. */
  readonly hasSnapshot: boolean;
  /** Whether a node was down, or had just come back. */
  readonly hasKill: boolean;
}

const MIB = 2 ** 20;

export function lineOf({ seconds, intervalSeconds, load, nodes, snapshots, hasSnapshot, hasKill }: Sample): string {
  const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
  return [
    `${seconds.toFixed(0)} s`,
    `${(load.acknowledged / intervalSeconds).toFixed(0)}/s`,
    `p50 ${load.p50.toFixed(1)} p99 ${load.p99.toFixed(1)} ms`,
    `resident ${nodes.map(({ resident }) => mib(resident)).join(" ")} MiB`,
    `disk ${nodes.map(({ disk }) => mib(disk)).join(" ")} MiB`,
    `log ${nodes.map(({ first, last }) => `${first}-${last}`).join(" ")}`,
    `${snapshots} snapshots${hasSnapshot ? ", one under way" : ""}${hasKill ? ", after a kill" : ""}`,
  ].join("; ");
}
