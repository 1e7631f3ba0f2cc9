import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { youngGenerationFlags } from "../../src/cli/young-generation.ts";
import { closeClusters } from "../support/cluster.ts";
import { Soak } from "./soak.ts";
import { Transfer } from "./transfer.ts";

/**
 * What takes long. `node test/soak/run.ts soak --minutes 30` keeps a cluster under load, with snapshots and kills, and looks
 * whether disk, memory and latency stay as they are. `node test/soak/run.ts transfer --bytes 2147483648` brings a large
 * snapshot to a follower that is cut off again and again. Exits with 1 when a promise was broken.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "30" },
    rate: { type: "string" },
    "snapshot-every": { type: "string", default: "100000" },
    "state-bytes": { type: "string", default: String(4 * 2 ** 20) },
    "kill-every": { type: "string", default: "120" },
    output: { type: "string", default: join(tmpdir(), `raft-sidecar-soak-${process.pid}`) },
    bytes: { type: "string", default: String(2 ** 31) },
    cuts: { type: "string", default: "5" },
    "snapshot-rate": { type: "string" },
  },
});

const write = (line: string): void => void process.stdout.write(`${line}\n`);

// As a node that isn't somebody's child gives itself.
process.env["NODE_OPTIONS"] = [process.env["NODE_OPTIONS"], ...youngGenerationFlags()].join(" ");

const [command] = positionals;
let isWell = false;
try {
  if (command === "soak") isWell = await soak();
  else if (command === "transfer") isWell = await transfer();
  else wrong("give soak or transfer");
} finally {
  await closeClusters();
}
process.exit(isWell ? 0 : 1);

function soak(): Promise<boolean> {
  mkdirSync(values.output, { recursive: true });
  return new Soak({
    seconds: number("minutes", values.minutes) * 60,
    rate: number("rate", values.rate ?? "5000"),
    snapshotEvery: number("snapshot-every", values["snapshot-every"]),
    stateBytes: number("state-bytes", values["state-bytes"]),
    killEverySeconds: number("kill-every", values["kill-every"]),
    output: values.output,
    write,
  }).run();
}

function transfer(): Promise<boolean> {
  const snapshotRate = values["snapshot-rate"];
  return new Transfer({
    bytes: number("bytes", values.bytes),
    cuts: number("cuts", values.cuts),
    rate: number("rate", values.rate ?? "200"),
    snapshotRate: snapshotRate === undefined ? undefined : number("snapshot-rate", snapshotRate),
    write,
  }).run();
}

function number(name: string, text: string): number {
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : wrong(`--${name} must be a number, not ${text}`);
}

function wrong(what: string): never {
  write(what);
  return process.exit(2);
}
