import { parseArgs } from "node:util";
import { Campaign } from "./campaign.ts";
import { replay } from "./replay.ts";
import { timesRealTime } from "./speed.ts";

/**
 * Runs the simulation: `node test/simulation/run.ts --seeds 2000` until so many seeds have counted, `--seed 7` one with a
 * transcript, `--speed` measures. Exits with 1 at the first seed that fails.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "2000" },
    first: { type: "string", default: "1" },
    seed: { type: "string" },
    workers: { type: "string", default: "2" },
    twice: { type: "boolean", default: false },
    speed: { type: "boolean", default: false },
  },
});

const write = (line: string): void => void process.stdout.write(`${line}\n`);

let isWell = true;
if (values.speed) {
  write(
    `${timesRealTime(false).toFixed(0)} times real time with a change of leader, ${timesRealTime(true).toFixed(0)} with all trouble`,
  );
} else if (values.seed !== undefined) {
  isWell = replay(wholeNumber("seed", values.seed), write);
} else {
  const campaign = new Campaign({
    seeds: wholeNumber("seeds", values.seeds),
    first: wholeNumber("first", values.first),
    workers: Math.max(1, wholeNumber("workers", values.workers)),
    twice: values.twice,
    write,
  });
  isWell = await campaign.ended;
}
process.exitCode = isWell ? 0 : 1;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  write(`--${name} must be a whole number, not ${text}`);
  return process.exit(2);
}
