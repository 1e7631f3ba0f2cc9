import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AppendEntriesRequestSchema, HandshakeSchema, RequestVoteRequestSchema } from "../../gen/raft/v1/raft_pb.js";
import { PROTOCOL_MAX, PROTOCOL_MIN } from "../../src/node/handshake.ts";
import type { TestClient } from "../support/client.ts";
import { until } from "../support/wait.ts";
import type { GrpcCase } from "./cases.ts";
import { delimited, joined } from "./messages.ts";
import type { Disguise } from "./sender.ts";

/** What a member says of itself; all of it can be learned from the client listener. */
export interface MemberIdentity {
  readonly id: string;
  readonly clusterId: string;
  readonly logId: Uint8Array;
  readonly incarnation: Uint8Array;
  readonly clientAddress: string;
  readonly peerAddress: string;
}

/**
 * Terms as far as they are taken: a member that asks for votes in one of these above the cluster's own, 1, takes over; and
 * one that says it leads even in that term is the second who does, which must end a node (Election Safety, PITFALL 9).
 */
const TAKES_OVER = { vote: 2n, append: 1n, to: 2n ** 33n } as const;

/**
 * Plays a member that is accepted and then lies: `members` in the order of the nodes. It is never the leader, whose streams
 * would end with every handshake, and never says what the rules of Raft would have to believe.
 */
export function disguise(members: readonly MemberIdentity[], leader: () => string): Disguise {
  return (one) => {
    const addressee = members[one.node];
    const sender = members.find(({ id }) => id !== addressee?.id && id !== leader());
    if (addressee === undefined || sender === undefined) throw new Error("three members at least");
    const handshake = toBinary(HandshakeSchema, handshakeOf(sender, addressee, members));
    const isForward = one.rpc.path.endsWith("Forward");
    // Each ends the real member's stream, and its proposals have no known outcome then: a few show what there is to see.
    if (isForward && addressee.id === leader() && one.messages.length % 8 > 0)
      return one.messages.map(({ bytes }) => bytes);
    const isVote = one.rpc.path.endsWith("RequestVote");
    const messages = one.messages
      .map((message) => joined([message.bytes, isVote ? delimited(1, handshake) : joined([]), sayer(one, sender.id)]))
      .filter((bytes) => !wouldBeBelieved(one, bytes));
    if (isVote) return messages;
    const field = isForward ? 1 : 8;
    return [delimited(field, handshake), ...messages];
  };
}

export function handshakeOf(sender: MemberIdentity, addressee: MemberIdentity, members: readonly MemberIdentity[]) {
  const ids = members.map(({ id }) => id).sort();
  return create(HandshakeSchema, {
    clusterId: sender.clusterId,
    logId: sender.logId,
    protocolMin: PROTOCOL_MIN,
    protocolMax: PROTOCOL_MAX,
    senderId: sender.id,
    addresseeId: addressee.id,
    incarnation: sender.incarnation,
    clientAddress: sender.clientAddress,
    peerAddress: sender.peerAddress,
    bootstrapDigest: createHash("sha256").update(ids.join("\n")).digest(),
  });
}

/** Sender and candidate are one, or nothing else of the message is looked at. Now and then they are not. */
function sayer({ rpc, end }: GrpcCase, sender: string): Uint8Array {
  if (rpc.path.endsWith("Forward") || end === "silence") return joined([]);
  return delimited(rpc.path.endsWith("RequestVote") ? 3 : 2, Buffer.from(sender));
}

function wouldBeBelieved({ rpc }: GrpcCase, bytes: Uint8Array): boolean {
  if (rpc.path.endsWith("Forward")) return false;
  const isVote = rpc.path.endsWith("RequestVote");
  const term = termOf(isVote ? RequestVoteRequestSchema : AppendEntriesRequestSchema, bytes);
  return term !== undefined && term >= (isVote ? TAKES_OVER.vote : TAKES_OVER.append) && term < TAKES_OVER.to;
}

function termOf(schema: typeof RequestVoteRequestSchema | typeof AppendEntriesRequestSchema, bytes: Uint8Array) {
  try {
    return fromBinary<typeof RequestVoteRequestSchema | typeof AppendEntriesRequestSchema>(schema, bytes).term;
  } catch {
    // It isn't read there either.
    return undefined;
  }
}

/** What a client may learn of all members, in the order of their ids. */
export async function identitiesOf(client: TestClient): Promise<MemberIdentity[]> {
  const { clusterId, logId } = await until("the log has an id", async () => {
    const status = await client.status();
    return status.logId.length > 0 && status;
  });
  const members = await client.members();
  return members.map(({ id, incarnation, clientAddress, peerAddress }) => ({
    id,
    clusterId,
    logId,
    incarnation,
    clientAddress,
    peerAddress,
  }));
}
