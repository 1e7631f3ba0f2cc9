import { HEALTHY_NETWORK } from "./network.ts";
import { type Plan, WHOLE_TROUBLE_MS } from "./plan.ts";

/** What is shorter, before a colon, says who, not what. */
const SHORTEST_STATEMENT = 15;

/** Shorter ends are not tried. */
const STEP_MS = 100;

/** Makes a failing plan as simple and as short as it can be without being well. `fails` runs a plan. */
export function shrink(plan: Plan, fails: (plan: Plan) => boolean): Plan {
  let simplest = plan;
  const attempt = (simpler: Plan): boolean => {
    if (!fails(simpler)) return false;
    simplest = simpler;
    return true;
  };
  attempt({ ...simplest, network: HEALTHY_NETWORK });
  attempt({ ...simplest, subscribers: 0 });
  for (const trouble of plan.troubles.keys()) {
    const troubles = new Map(simplest.troubles);
    troubles.delete(trouble);
    attempt({ ...simplest, troubles });
  }
  shorten((troubleMs) => attempt({ ...simplest, troubleMs }));
  const { workload } = simplest;
  attempt({ ...simplest, workload: { ...workload, reads: 0, compareAndSets: 0, batches: 0, deadlines: 0 } });
  return simplest;
}

/** Looks for a shorter time of trouble by halves. What ends well a little earlier may fail much earlier: it is a search. */
function shorten(fails: (troubleMs: number) => boolean): void {
  let [wellMs, failingMs] = [0, WHOLE_TROUBLE_MS];
  while (failingMs - wellMs > STEP_MS) {
    const middleMs = (wellMs + failingMs) / 2;
    if (fails(middleMs)) failingMs = middleMs;
    else wellMs = middleMs;
  }
}

/** What a message says, whoever it is about and whatever details follow: whether two runs fail in the same way. */
export function kindOf(message: string): string {
  const [line = ""] = message.split("\n", 1);
  const [start = "", ...details] = line.split(": ");
  // "n1: the term falls" begins with whom it is about.
  const what = details.length > 0 && start.length < SHORTEST_STATEMENT ? line : start;
  return what.replace(/n?\d+(\.\d+)?/g, "#");
}
