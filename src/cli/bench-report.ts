import type { BenchMode, BenchPlan } from "./bench-options.ts";
import { NOT_SENT, type Percentiles, type Tally } from "./bench-tally.ts";
import { table } from "./output.ts";

/** The JSON of a run. What is not measured is null. */
export interface BenchReport {
  /** Of the node in use at the end. */
  readonly address: string;
  readonly mode: BenchMode;
  readonly inFlight: number;
  /** Null for a closed loop. */
  readonly ratePerSecond: number | null;
  readonly sizeBytes: number;
  /** As measured: less than asked for when the run was ended early. */
  readonly durationSeconds: number;
  readonly endedEarly: boolean;
  readonly acknowledged: number;
  readonly acknowledgedPerSecond: number;
  readonly commandBytesPerSecond: number;
  readonly failed: number;
  /** Count by reason, the most frequent first. */
  readonly failures: Readonly<Record<string, number>>;
  /** What counts latency from: when a proposal was due, or only when it was sent. */
  readonly latencyFrom: "due" | "sent";
  readonly latencyMs: Percentiles | null;
  /** How late proposals were sent; null for a closed loop. */
  readonly sendDelayMs: Percentiles | null;
  /** In the log for good, those of the warm-up included. What failed may be there, too, where the reason leaves it open. */
  readonly entriesWritten: number;
}

export function reportOf(plan: BenchPlan, tally: Tally, address: string): BenchReport {
  const { mode, inFlight, ratePerSecond, sizeBytes } = plan;
  const seconds = tally.measuredMs / 1_000;
  const perSecond = seconds === 0 ? 0 : tally.acknowledgedInTime / seconds;
  return {
    address,
    mode,
    inFlight,
    ratePerSecond: ratePerSecond ?? null,
    sizeBytes,
    durationSeconds: rounded(seconds, 3),
    endedEarly: tally.isCut,
    acknowledged: tally.acknowledged,
    acknowledgedPerSecond: rounded(perSecond, 1),
    commandBytesPerSecond: Math.round(perSecond * sizeBytes),
    failed: tally.failed,
    failures: Object.fromEntries(tally.failures),
    latencyFrom: ratePerSecond === undefined ? "sent" : "due",
    latencyMs: tally.latency ?? null,
    sendDelayMs: ratePerSecond === undefined ? null : (tally.sendDelay ?? null),
    entriesWritten: tally.allAcknowledged,
  };
}

/** The same for people. */
export function reportText(report: BenchReport): string {
  const { durationSeconds, failures, latencyFrom, latencyMs, sendDelayMs, entriesWritten, ratePerSecond } = report;
  const counts = table(
    ["SECONDS", "ACKNOWLEDGED", "PER SECOND", "COMMAND BYTES PER SECOND", "FAILED"],
    [
      [
        String(durationSeconds),
        counted(report.acknowledged),
        report.acknowledgedPerSecond.toLocaleString("en", { minimumFractionDigits: 1 }),
        counted(report.commandBytesPerSecond),
        counted(report.failed),
      ],
    ],
  );
  const times = table(
    ["MILLISECONDS", "P50", "P90", "P99", "P99.9", "MAX"],
    [
      timesRow(latencyFrom === "due" ? "latency, from when due" : "latency, from when sent", latencyMs),
      ...(ratePerSecond === null ? [] : [timesRow("sent late by", sendDelayMs)]),
    ],
  );
  const reasons = Object.entries(failures).map(([reason, count]) => [reason, counted(count)]);
  const parts = [counts, times];
  if (reasons.length > 0) parts.push(table(["FAILED BY REASON", "COUNT"], reasons));
  const notSent = failures[NOT_SENT];
  if (notSent !== undefined) {
    parts.push(
      `${counted(notSent)} were due and never sent, and no percentile counts them: the rate is more than the cluster, or ` +
        "--in-flight, allows.",
    );
  }
  const unsure = report.failed === 0 ? "" : "; so may be some that failed";
  parts.push(`${counted(entriesWritten)} entries were written to the log, those of the warm-up included${unsure}.`);
  return parts.join("\n\n");
}

function timesRow(name: string, times: Percentiles | null): string[] {
  if (times === null) return [name, "-", "-", "-", "-", "-"];
  const { p50, p90, p99, p999, max } = times;
  return [name, ...[p50, p90, p99, p999, max].map((ms) => ms.toFixed(ms < 100 ? 2 : 0))];
}

function counted(count: number): string {
  return count.toLocaleString("en");
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
