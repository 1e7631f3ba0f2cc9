import { expect } from "vitest";
import { DEFAULT_NODE } from "../simulation/world.ts";
import { type Lab, type Proposal, scenario } from "./lab.ts";

const CHURN_MS = 5_000;
const CLIENTS = 3;

/** Clients propose to every node for a while, each command once. Returns what they have proposed so far. */
function startClients(lab: Lab): readonly Proposal[] {
  const proposals: Proposal[] = [];
  const untilMs = lab.nowMs + CHURN_MS;
  const propose = (client: number): void => {
    if (lab.nowMs >= untilMs) return;
    for (const { host } of lab.processes) proposals.push(lab.propose(host, `${client}: ${proposals.length}`));
    lab.scheduler.in(lab.random.clients.between(10, 200), () => propose(client));
  };
  for (let client = 1; client <= CLIENTS; client++) propose(client);
  return proposals;
}

/** Nodes are cut off, crash, and come back, a little too fast for an election in between. */
function churn(lab: Lab): void {
  const { nemesis } = lab.random;
  const untilMs = lab.nowMs + CHURN_MS;
  while (lab.nowMs < untilMs) {
    if (nemesis.chance(0.2)) lab.disconnect(nemesis.pick(lab.hosts));
    if (nemesis.chance(0.5)) {
      const host = nemesis.pick(lab.hosts);
      host.start();
      lab.connect(host);
    }
    if (nemesis.chance(0.2)) lab.crash(nemesis.pick(lab.hosts));
    lab.run(0.7 * DEFAULT_NODE.electionTimeoutMinMs);
  }
}

/** What clients were told is so in the log that all agree on in the end. */
function answersHold(lab: Lab, proposals: readonly Proposal[]): void {
  for (const { command, place, failure } of proposals) {
    const indexes = lab.services.indexesOf(command);
    if (place !== undefined) expect(indexes).toEqual([place.index]);
    else if (failure === undefined || failure === "OUTCOME_UNKNOWN") expect(indexes.length).toBeLessThanOrEqual(1);
    else expect(indexes).toEqual([]);
  }
  expect(proposals.filter(({ place }) => place !== undefined).length).toBeGreaterThan(0);
}

function story(lab: Lab): void {
  lab.one("before", 5);
  const proposals = startClients(lab);
  churn(lab);
  lab.reliable();
  lab.connect(...lab.hosts);
  for (const host of lab.hosts) host.start();
  // By then what still waited for its answer has it.
  lab.run(DEFAULT_NODE.proposalTimeoutMs);
  lab.one("after", 5);
  answersHold(lab, proposals);
}

scenario("churn: what clients propose while nodes come and go is in the log once, if it was acknowledged", 5, story);

scenario("churn on an unreliable network: the same, also when messages are lost and overtake each other", 5, (lab) => {
  lab.unreliable();
  story(lab);
});
