import { expect } from "vitest";
import { appendRequestCodec, appendResponseCodec } from "../../src/grpc/append-codec.ts";
import { toAppendEntries, toAppendEntriesResponse } from "../../src/grpc/message-codec.ts";
import type { Message } from "../../src/raft/message.ts";
import { names, scenario } from "./lab.ts";

const COMMAND_BYTES = 5_000;

/** RPCs: request messages that leave. */
function requests(sent: readonly Message[]): number {
  return sent.filter(({ kind }) => kind === "requestVote" || kind === "appendEntries").length;
}

/** On the wire. */
function bytesOf(message: Message): number {
  switch (message.kind) {
    case "appendEntries":
      return appendRequestCodec.serialize(toAppendEntries(message) as never).length;
    case "appendEntriesResponse":
      return appendResponseCodec.serialize(toAppendEntriesResponse(message) as never).length;
    case "requestVote":
    case "requestVoteResponse":
      throw new Error("nobody elects");
  }
}

function bytes(sent: readonly Message[]): number {
  return sent.reduce((sum, message) => sum + bytesOf(message), 0);
}

scenario("RPC bytes: ten commands of 5,000 bytes cost each peer one copy", 3, (lab) => {
  lab.one("before", 3);
  const leader = lab.oneLeader();
  const commands = names("command", 10).map((name) => name.padEnd(COMMAND_BYTES, "."));
  const payload = commands.length * COMMAND_BYTES;
  const sent = lab.during(() => {
    for (const command of commands) lab.one(command, 3);
  });
  expect(bytes(sent)).toBeLessThan(3 * payload + 50_000);
  for (const { id } of lab.others(leader)) {
    const toPeer = bytes(sent.filter(({ to }) => to === id));
    expect(toPeer).toBeGreaterThan(payload);
    expect(toPeer).toBeLessThan(payload + COMMAND_BYTES);
  }
});

scenario("RPC counts: few for the initial election, for ten commands and for an idle second", 3, (lab) => {
  const election = lab.during(() => {
    lab.oneLeader();
  });
  expect(requests(election)).toBeGreaterThanOrEqual(1);
  expect(requests(election)).toBeLessThanOrEqual(30);
  lab.one("before", 3);

  const together = lab.during(() => {
    lab.all(names("together", 10), 3);
  });
  expect(requests(together)).toBeLessThanOrEqual((10 + 1 + 3) * 3);
  const oneByOne = lab.during(() => {
    for (const command of names("one by one", 10)) lab.one(command, 3);
  });
  expect(requests(oneByOne)).toBeLessThanOrEqual((10 + 1 + 3) * 3);

  lab.settle();
  const idle = lab.during(() => lab.run(1_000));
  expect(requests(idle)).toBeLessThanOrEqual(60);
});
