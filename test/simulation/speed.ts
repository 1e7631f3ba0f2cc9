import { HEALTHY_NETWORK } from "./network.ts";
import { type Plan, planOf } from "./plan.ts";
import { runPlan } from "./seed.ts";
import { DEFAULT_NODE } from "./world.ts";

const WARM_UP = 30;
const MEASURED = 100;

/**
 * How many times faster than real time one core simulates three nodes at 20 proposals a second with all checks on: by
 * processor time, so that a busy machine counts for little. `trouble` as the seeds have it, or none
 * but a change of leader.
 */
export function timesRealTime(trouble: boolean): number {
  const plans = Array.from({ length: WARM_UP + MEASURED }, (_, i) => planFor(i + 1, trouble));
  for (const plan of plans.slice(0, WARM_UP)) runPlan(plan);
  const before = process.cpuUsage();
  let virtualMs = 0;
  for (const plan of plans.slice(WARM_UP)) virtualMs += runPlan(plan).virtualMs;
  const { user, system } = process.cpuUsage(before);
  return virtualMs / ((user + system) / 1_000);
}

function planFor(seed: number, trouble: boolean): Plan {
  const plan = planOf(seed);
  const workload = { ...plan.workload, callsPerSecond: 20, reads: 0, batches: 0, maxOpen: 60 };
  const calm = { network: HEALTHY_NETWORK, troubles: new Map(), node: DEFAULT_NODE };
  return { ...plan, size: 3, workload, ...(trouble ? {} : calm) };
}
