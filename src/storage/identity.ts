import { randomBytes } from "node:crypto";
import type { Database } from "better-sqlite3";
import type { NodeId } from "../raft/types.ts";
import { rowChecksum } from "./checksum.ts";
import { StorageError } from "./error.ts";
import type { MemberRecord } from "./storage.ts";

/** Who a data directory belongs to, as the command line says it. */
export interface DirectoryOwner {
  readonly nodeId: NodeId;
  readonly clusterId: string;
  readonly bootstrapVoters: readonly NodeId[];
}

/** What the directory itself remembers. */
export interface Identity extends DirectoryOwner {
  readonly incarnation: Uint8Array;
  readonly bootstrapped: boolean;
}

const INCARNATION_BYTES = 16;

interface IdentityRow {
  readonly incarnation: Uint8Array;
  readonly node_id: string;
  readonly cluster_id: string;
  readonly bootstrap_voters: string;
  readonly bootstrapped: number;
  readonly checksum: number;
}

interface MemberRow {
  readonly id: string;
  readonly incarnation: Uint8Array;
  readonly client_address: string;
  readonly peer_address: string;
  readonly checksum: number;
}

/** Writes the identity of a new directory, with a random incarnation. */
export function createIdentity(db: Database, owner: DirectoryOwner): void {
  const bootstrapVoters = ordered(owner.bootstrapVoters);
  writeIdentity(db, { ...owner, bootstrapVoters, incarnation: randomBytes(INCARNATION_BYTES), bootstrapped: false });
}

/** Throws a StorageError when the row is missing or damaged. */
export function readIdentity(db: Database): Identity {
  const row = db.prepare<[], IdentityRow>("SELECT * FROM identity").get();
  if (row === undefined) throw new StorageError("damaged", `${db.name} is damaged: its identity is missing`);
  const { incarnation, node_id, cluster_id, bootstrap_voters, bootstrapped, checksum } = row;
  if (rowChecksum([incarnation, node_id, cluster_id, bootstrap_voters, bootstrapped]) !== checksum) {
    throw new StorageError("damaged", `${db.name} is damaged: the checksum of its identity differs`);
  }
  return {
    incarnation: Uint8Array.from(incarnation),
    nodeId: node_id,
    clusterId: cluster_id,
    bootstrapVoters: JSON.parse(bootstrap_voters) as NodeId[],
    bootstrapped: bootstrapped === 1,
  };
}

/** Remembers that all initial members have been met. */
export function markBootstrapped(db: Database): void {
  writeIdentity(db, { ...readIdentity(db), bootstrapped: true });
}

function writeIdentity(db: Database, identity: Identity): void {
  const values = [
    identity.incarnation,
    identity.nodeId,
    identity.clusterId,
    JSON.stringify(identity.bootstrapVoters),
    identity.bootstrapped ? 1 : 0,
  ];
  db.prepare(
    `INSERT OR REPLACE INTO identity
      (id, incarnation, node_id, cluster_id, bootstrap_voters, bootstrapped, checksum)
      VALUES (1, ?, ?, ?, ?, ?, ?)`,
  ).run(...values, rowChecksum(values));
}

/** Throws a StorageError that shows both sides when the directory was made for somebody else. */
export function checkOwner(directory: string, identity: Identity, owner: DirectoryOwner): void {
  if (identity.nodeId !== owner.nodeId) {
    throw refused(directory, "the node", identity.nodeId, owner.nodeId, "--id");
  }
  if (identity.clusterId !== owner.clusterId) {
    throw refused(directory, "the cluster", identity.clusterId, owner.clusterId, "--cluster-id");
  }
  const stored = identity.bootstrapVoters.join(",");
  const given = ordered(owner.bootstrapVoters).join(",");
  if (stored !== given) {
    const advice =
      identity.bootstrapVoters.length === 1
        ? " A directory bootstrapped as one voter never joins others: to start a larger cluster give an empty one."
        : "";
    throw refused(directory, "the initial voters", stored, given, "the members in --initial-cluster", advice);
  }
}

function refused(
  directory: string,
  what: string,
  stored: string,
  given: string,
  flag: string,
  advice = "",
): StorageError {
  return new StorageError(
    "refused",
    `data directory ${directory} was made for ${what} ${stored}, but this process was started as ${given}. Make ` +
      `${flag} say ${stored}, or give another --data-dir.${advice}`,
  );
}

function ordered(voters: readonly NodeId[]): NodeId[] {
  return [...voters].sort();
}

/** The other members met so far, ordered by id. Throws a StorageError when a row is damaged. */
export function readMembers(db: Database): MemberRecord[] {
  const rows = db.prepare<[], MemberRow>("SELECT * FROM members ORDER BY id").all();
  return rows.map(({ id, incarnation, client_address, peer_address, checksum }) => {
    if (rowChecksum([id, incarnation, client_address, peer_address]) !== checksum) {
      throw new StorageError("damaged", `${db.name} is damaged: the checksum of its record of member ${id} differs`);
    }
    return {
      id,
      incarnation: Uint8Array.from(incarnation),
      clientAddress: client_address,
      peerAddress: peer_address,
    };
  });
}

/** Adds the member or replaces what is known of it. */
export function writeMember(db: Database, member: MemberRecord): void {
  const values = [member.id, member.incarnation, member.clientAddress, member.peerAddress];
  db.prepare(
    "INSERT OR REPLACE INTO members (id, incarnation, client_address, peer_address, checksum) VALUES (?, ?, ?, ?, ?)",
  ).run(...values, rowChecksum(values));
}
