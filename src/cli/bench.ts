import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { systemClock } from "../clock.ts";
import type { NodeView } from "../grpc/views.ts";
import { StreamLane, UnaryLane } from "./bench-lane.ts";
import { Load } from "./bench-load.ts";
import { addBenchOptions, type BenchOptions, type BenchPlan, planOf } from "./bench-options.ts";
import { showProgress } from "./bench-progress.ts";
import { reportOf, reportText } from "./bench-report.ts";
import { Route } from "./bench-route.ts";
import { CommandError, EXIT } from "./exit.ts";
import { print, printJson } from "./output.ts";

export function benchCommand(): Command {
  return addBenchOptions(
    new Command("bench").description(
      "Loads a cluster with proposals, and shows how many commit and how long each takes. They stay in its log, and " +
        "every subscriber gets them: use a test cluster.",
    ),
  )
    .addHelpText(
      "after",
      `
Each proposal is a real command: what is acknowledged is an entry that stays in the log and on every node's disk, and
that every subscriber of this cluster gets. 10,000 a second of 256 bytes for a minute are 600,000 entries and 150 MB.

Without --rate a proposal is sent as soon as one before it is answered (a closed loop): this shows how much the cluster
takes in with so many in flight. Its latency counts from when a proposal was sent, and is no answer to how long one
takes at some rate: while the cluster stalls nothing is sent, so that a stall is hardly counted.

With --rate proposals are due at even moments (an open loop), and latency counts from when a proposal was due: what was
sent late, because --in-flight were without an answer or the node asked to wait, has waited too. "Sent late by" shows
how much of it that was; up to 2 ms are this program's own timer. What is still due at the end is sent for up to
--timeout-ms more. What never was counts as NOT_SENT: the rate is more than the cluster, or --in-flight, allows.

Percentiles are of what was acknowledged. Failures are counted by reason, and the run goes on: after the delay that the
node asks for, and at the next address where a node is gone, drains or has no leader. It ends only when nothing at all
is acknowledged in the first 10 s. Nothing is proposed again. UNANSWERED is what had no answer at the end. Ctrl-C ends
a run early and shows what it measured; once more ends it at once.

This program wants a processor of its own: on a machine that it shares with the nodes they slow each other down.

Examples:
  raft-sidecar bench
  raft-sidecar bench --rate 2000 --duration 60 --address 10.0.0.1:7420,10.0.0.2:7420,10.0.0.3:7420
  raft-sidecar bench --mode unary --in-flight 1 -o json | jq .latencyMs.p50`,
    )
    .action(runBench);
}

async function runBench(options: BenchOptions): Promise<void> {
  const plan = planOf(options);
  const laneOptions = { command: commandOf(plan.sizeBytes), timeoutMs: plan.timeoutMs };
  const LaneOfMode = plan.mode === "stream" ? StreamLane : UnaryLane;
  const route = new Route(options.address, (client, events) => new LaneOfMode(client, laneOptions, events));
  const node = await route.connect({
    onReady: () => load.onReady(),
    onAnswers: (answers) => load.onAnswers(answers),
  });
  process.stderr.write(`${announcement(plan, node, route.address)}\n`);
  const load = new Load(plan, systemClock, route);
  const unlisten = onInterrupt(() => load.stop());
  const endProgress = showProgress(load, plan.warmUpMs + plan.durationMs);
  load.onReady();
  await load.ended;
  unlisten();
  endProgress();
  const { address } = route;
  route.close();
  const report = reportOf(plan, load.tally, address);
  if (options.output === "json") printJson(report);
  else print(reportText(report));
  if (report.acknowledged === 0) throw nothingAcknowledged(load, address);
}

/** Printable, so that whoever reads the log sees what it is; random, so that nothing on the way compresses it. */
function commandOf(sizeBytes: number): Uint8Array {
  return Buffer.from(`raft-sidecar bench ${randomBytes(sizeBytes).toString("base64")}`).subarray(0, sizeBytes);
}

function announcement(plan: BenchPlan, { id, role, leader }: NodeView, address: string): string {
  const { ratePerSecond, warmUpMs, durationMs, inFlight, sizeBytes } = plan;
  const seconds = (warmUpMs + durationMs) / 1_000;
  const amount =
    ratePerSecond === undefined
      ? `as many entries of ${sizeBytes} bytes as get through in ${seconds} s, ${inFlight} in flight,`
      : `${(ratePerSecond * seconds).toLocaleString("en")} entries of ${sizeBytes} bytes`;
  const place =
    role === "leader" ? "the leader" : `a ${role}, ${leader === "" ? "no leader known" : `${leader} leads`}`;
  return `writes ${amount} to the log at ${address} (${id}, ${place}); they stay there, and every subscriber gets them`;
}

/** Calls `stop` at the first signal, and ends the process at the second. Returns how to undo it. */
function onInterrupt(stop: () => void): () => void {
  let interrupts = 0;
  const listener = (): void => {
    interrupts++;
    if (interrupts > 1) process.exit(EXIT.failed);
    stop();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}

function nothingAcknowledged({ lastFailed }: Load, address: string): CommandError {
  const why = lastFailed === undefined ? "" : `: ${lastFailed.reason}: ${lastFailed.error.message}`;
  const advice =
    lastFailed?.reason === "INVALID_ARGUMENT"
      ? "Give another --size; the nodes' own limit is --max-command-bytes of serve."
      : 'Whether there is a leader shows "raft-sidecar status".';
  const message = `${address}: nothing was acknowledged in the measured time${why}`;
  return new CommandError(EXIT.failed, message, advice, lastFailed?.error);
}
