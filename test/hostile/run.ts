import { parseArgs } from "node:util";
import { closeClusters } from "../support/cluster.ts";
import { Campaign } from "./campaign.ts";

/**
 * Sends `--messages` fuzzed messages to three real nodes, over all RPCs of all listeners: `node test/hostile/run.ts
 * --messages 50000 --seed 7`. Exits with 1 when anything is wrong, and says with which seed and batch to see it again;
 * `--batch N` sends that batch alone.
 */
const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "50000" },
    seed: { type: "string" },
    batch: { type: "string" },
  },
});

const write = (line: string): void => void process.stdout.write(`${line}\n`);

const campaign = new Campaign({
  messages: wholeNumber("messages", values.messages),
  seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : wholeNumber("seed", values.seed),
  batch: values.batch === undefined ? undefined : wholeNumber("batch", values.batch),
  write,
});
let isWell = false;
try {
  isWell = await campaign.run();
} finally {
  await closeClusters();
}
process.exit(isWell ? 0 : 1);

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  write(`--${name} must be a whole number, not ${text}`);
  return process.exit(2);
}
