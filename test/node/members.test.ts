import { describe, expect, it } from "vitest";
import type { Handshake } from "../../src/node/handshake.ts";
import { Members } from "../../src/node/members.ts";
import type { Recovered } from "../../src/storage/storage.ts";
import { HeldStorage, nodeOptions } from "./support.ts";

const NO_LOG = new Uint8Array(0);

/** Node a, and what happened: "bootstrapped", or the answer to a handshake ("" for none against it). */
function newMembers(recovered: Partial<Recovered> = { bootstrapped: false }, logId: Uint8Array = NO_LOG) {
  const storage = new HeldStorage(recovered);
  const events: string[] = [];
  const members = new Members(
    nodeOptions(),
    storage,
    () => logId,
    () => events.push("bootstrapped"),
  );
  const check = (handshake: Handshake): void => {
    members.check(handshake, handshake.sender, (refusal) => events.push(refusal?.reason ?? ""));
  };
  return { storage, members, check, events };
}

/** What member `id` says to a. */
function introduction(id: string, fields: Partial<Handshake> = {}): Handshake {
  const options = nodeOptions({ id, clientAddress: `${id}:2`, peerAddress: `${id}:1` });
  const storage = new HeldStorage({ incarnation: new Uint8Array(16).fill(id.charCodeAt(0)) });
  const members = new Members(
    options,
    storage,
    () => NO_LOG,
    () => {},
  );
  return { ...members.introduce("a"), ...fields };
}

describe("a node takes part (PITFALL 56)", () => {
  it("only when all initial members have been met, and its disk knows", () => {
    const { storage, members, events } = newMembers();
    members.start();
    members.onMet("b");
    storage.sync();
    expect(events).toEqual([]);
    members.onMet("c");
    expect({ events, isBootstrapped: members.isBootstrapped }).toEqual({ events: [], isBootstrapped: false });
    storage.sync();
    expect({ events, isBootstrapped: members.isBootstrapped }).toEqual({
      events: ["bootstrapped"],
      isBootstrapped: true,
    });
  });
});

describe("a handshake", () => {
  it("is accepted once the sender's incarnation is on the disk, at first and while that may be under way", () => {
    const { storage, check, events } = newMembers();
    check(introduction("b"));
    check(introduction("b"));
    expect(events).toEqual([]);
    storage.sync();
    expect(events).toEqual(["", ""]);
    expect(storage.members.map(({ id }) => id)).toEqual(["b", "b"]);
  });

  it("of a member with another incarnation is refused, also while the first is being written (PITFALL 34)", () => {
    const { check, events } = newMembers();
    check(introduction("b"));
    check(introduction("b", { incarnation: new Uint8Array(16).fill(99) }));
    expect(events).toEqual(["INCARNATION_MISMATCH"]);
  });

  it("of a member that was known before the start with another incarnation is refused (PITFALL 34)", () => {
    const known = { id: "b", incarnation: new Uint8Array(16).fill(99), clientAddress: "b:2", peerAddress: "b:1" };
    const { check, events } = newMembers({ members: [known] });
    check(introduction("b"));
    expect(events).toEqual(["INCARNATION_MISMATCH"]);
  });

  it.each<[string, Partial<Handshake>, string]>([
    ["of another cluster", { clusterId: "other" }, "CLUSTER_MISMATCH"],
    ["of another bootstrap", { bootstrapDigest: new Uint8Array(32) }, "CLUSTER_MISMATCH"],
    ["of another log", { logId: new Uint8Array(16).fill(2) }, "LOG_EPOCH_MISMATCH"],
    ["meant for another node", { addressee: "c" }, "UNKNOWN_PEER"],
    ["of a stranger", { sender: "x" }, "UNKNOWN_PEER"],
    ["of an earlier protocol", { protocolMin: 1, protocolMax: 1 }, "PROTOCOL_MISMATCH"],
    ["of a later protocol", { protocolMin: 9, protocolMax: 9 }, "PROTOCOL_MISMATCH"],
    ["without an incarnation", { incarnation: NO_LOG }, "INCARNATION_MISMATCH"],
  ])("%s is refused, and nothing is remembered of it (PITFALL 35)", (_, fields, reason) => {
    const { storage, check, events } = newMembers({}, new Uint8Array(16).fill(1));
    check(introduction("b", fields));
    expect({ events, members: storage.members }).toEqual({ events: [reason], members: [] });
  });
});
