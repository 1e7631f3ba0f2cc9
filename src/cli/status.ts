import { Command } from "commander";
import { SidecarClient } from "../grpc/client.ts";
import type { MemberView, PullView, RetentionView } from "../grpc/views.ts";
import type { DiskStatus } from "../node/api.ts";
import { briefly, clusterUnreachable } from "./call-error.ts";
import { ASK_TIMEOUT_MS, addressOption } from "./cluster.ts";
import { type Format, formatOption, print, printJson, table } from "./output.ts";

/** One node of the answer; a node that can't be reached has an `error` and what else is known of it. */
type Row = Answer | { readonly id: string; readonly address: string; readonly error: string };

interface Answer {
  readonly id: string;
  readonly role: string;
  readonly term: number;
  readonly leader: string;
  readonly first: number;
  readonly snapshot: number;
  readonly pull: PullView | undefined;
  readonly retention: RetentionView | undefined;
  readonly commit: number;
  readonly applied: number;
  readonly last: number;
  readonly address: string;
  readonly ready: boolean;
  readonly notReadyReason: string;
  readonly disk: DiskStatus | undefined;
}

const MIB = 1024 * 1024;

export function statusCommand(): Command {
  return new Command("status")
    .description(
      "Shows each node's role, term and log. Nodes that aren't named are asked too, as far as members know them.",
    )
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Columns: first is the first entry that a node still has, snapshot the last entry that its newest snapshot stands for (0 for
none), commit the last index known to be on a majority, applied the last that this node can deliver, last the end of its
log.

Examples:
  raft-sidecar status
  raft-sidecar status --address 127.0.0.1:7420,127.0.0.1:7430
  raft-sidecar status -o json | jq -r '.nodes[] | select(.role == "leader").id'`,
    )
    .action(async (options: { address: string[]; output: Format }) => {
      const nodes = await clusterStatus(options.address);
      if (options.output === "json") printJson({ nodes });
      else print(statusTable(nodes));
      if (nodes.every((node) => "error" in node))
        throw clusterUnreachable(nodes.map((node) => `${node.address}: ${errorOf(node)}`));
    });
}

/** Asks the given nodes, then the members that they know of. Ordered by id. */
export async function clusterStatus(addresses: readonly string[]): Promise<Row[]> {
  const given = await Promise.all(addresses.map(ask));
  const members = new Map(given.flatMap((one) => one.members).map((member) => [member.id, member]));
  const answers = given.map((one) => nameFailed(one.row, [...members.values()]));
  const answered = new Set(answers.map((row) => row.id));
  const others = [...members.values()].filter((member) => !answered.has(member.id));
  answers.push(...(await Promise.all(others.map(askMember))));
  const byNode = new Map(answers.map((row) => [row.id === "" ? row.address : row.id, row]));
  return [...byNode.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function ask(address: string): Promise<{ row: Row; members: MemberView[] }> {
  const client = new SidecarClient(address);
  try {
    const view = await client.status(ASK_TIMEOUT_MS);
    const members = await client.members(ASK_TIMEOUT_MS);
    return { row: { ...view, address }, members };
  } catch (error) {
    return { row: { id: "", address, error: briefly(error) }, members: [] };
  } finally {
    client.close();
  }
}

async function askMember(member: MemberView): Promise<Row> {
  const { id, clientAddress } = member;
  if (clientAddress === "")
    return { id, address: "", error: "has not been heard from, its client address isn't known" };
  const { row } = await ask(clientAddress);
  return { ...row, id };
}

/** A node that didn't answer can still be known by its address. */
function nameFailed(row: Row, members: readonly MemberView[]): Row {
  const id = row.id === "" ? members.find((member) => member.clientAddress === row.address)?.id : row.id;
  return { ...row, id: id ?? "" };
}

function statusTable(nodes: readonly Row[]): string {
  const head = ["ID", "ROLE", "TERM", "LEADER", "FIRST", "SNAPSHOT", "COMMIT", "APPLIED", "LAST", "ADDRESS", ""];
  const rows = nodes.map((node) =>
    "error" in node
      ? [node.id, ...Array.from({ length: 8 }, () => "-"), node.address, node.error]
      : [
          node.id,
          node.role,
          ...[String(node.term), node.leader],
          ...[node.first, node.snapshot, node.commit, node.applied, node.last].map(String),
          node.address,
          [...(node.ready ? [] : [`not ready: ${node.notReadyReason}`]), ...cautions(node)].join("; "),
        ],
  );
  return table(head, rows);
}

/** What the node can serve with, and somebody should look at. */
function cautions(answer: Answer): string[] {
  return [...diskCautions(answer), ...pullCautions(answer), ...retentionCautions(answer)];
}

function retentionCautions({ retention }: Answer): string[] {
  if (retention === undefined || retention.level === "well") return [];
  const { subscriber, lag, level, policy } = retention;
  return [
    `the log keeps ${lag} entries for ${subscriber}, ${level === "over" ? "too many" : "nearly too many"}: ${policy}`,
  ];
}

function pullCautions({ pull }: Answer): string[] {
  if (pull === undefined) return [];
  const share = pull.total === 0 ? "" : `, ${Math.floor((100 * pull.received) / pull.total)} %`;
  return [`pulls the snapshot at ${pull.index} from ${pull.from}${share}`];
}

function diskCautions({ disk }: Answer): string[] {
  if (disk?.low !== true) return [];
  const [free, limit] = [disk.freeBytes, disk.limitBytes].map((bytes) => (bytes / MIB).toFixed(1));
  return [`disk low: ${free} MiB free, ${limit} MiB are kept free; no proposals while it leads`];
}

function errorOf(node: Row): string {
  return "error" in node ? node.error : "";
}
