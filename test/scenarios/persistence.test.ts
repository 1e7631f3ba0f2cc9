import { expect } from "vitest";
import type { Host } from "../simulation/host.ts";
import { ELECTION_TIMEOUT_MS, type Lab, names, scenario } from "./lab.ts";

/** The nodes after `host`, in a ring. */
function ringAfter(lab: Lab, host: Host): Host[] {
  return [...lab.hosts.slice(host.index + 1), ...lab.hosts.slice(0, host.index)];
}

scenario("restart: of all, of the leader, of one that was cut off: nothing applied is lost or changed", 3, (lab) => {
  lab.one("1", 3);
  lab.restart(...lab.hosts);
  lab.one("2", 3);

  lab.restart(lab.oneLeader());
  lab.one("3", 3);

  const leader = lab.oneLeader();
  lab.disconnect(leader);
  lab.one("4", 2);
  lab.restart(leader);
  lab.connect(leader);
  lab.one("5", 3);

  const [follower] = lab.others(lab.oneLeader());
  if (follower === undefined) throw new Error("two follow");
  lab.disconnect(follower);
  lab.one("6", 2);
  lab.restart(follower);
  lab.connect(follower);
  lab.one("7", 3);
  // The services were told all of it again by whoever had been restarted.
  expect(lab.services.log).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
});

scenario("more restarts: five nodes agree through five rounds of staggered crashes and restarts", 5, (lab) => {
  for (let round = 1; round <= 5; round++) {
    lab.one(`by all ${round}`, 5);
    const leader = lab.oneLeader();
    const [a, b, c, d] = ringAfter(lab, leader);
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("four follow");
    lab.disconnect(a, b);
    lab.one(`without two ${round}`, 3);
    lab.disconnect(leader, c, d);
    lab.restart(a, b);
    lab.connect(a, b);
    lab.run(ELECTION_TIMEOUT_MS);
    lab.restart(c);
    lab.connect(c);
    lab.one(`with two of them ${round}`, 3);
    lab.connect(d, leader);
  }
  lab.one("at the end", 5);
});

scenario("partitioned leader and one follower crash, leader restarts: what two committed stays", 3, (lab) => {
  lab.one("by all", 3);
  const leader = lab.oneLeader();
  const [crashed, apart] = ringAfter(lab, leader);
  if (crashed === undefined || apart === undefined) throw new Error("two follow");
  lab.disconnect(apart);
  lab.one("by two", 2);
  lab.crash(leader, crashed);
  lab.connect(apart);
  leader.start();
  lab.one("by the other two", 2);
  crashed.start();
  lab.one("by all again", 3);
  expect(lab.services.log).toEqual(["by all", "by two", "by the other two", "by all again"]);
});

scenario("agreement on an unreliable network: 50 batches of five commands at a time all commit", 5, (lab) => {
  lab.unreliable();
  const batches = Array.from({ length: 50 }, (_, i) => names(`batch ${i + 1}, command`, 5));
  for (const batch of batches) lab.all(batch, 1);
  lab.reliable();
  lab.one("after", 5);
  expect(new Set(lab.services.log)).toEqual(new Set([...batches.flat(), "after"]));
});
