import { isLoopback, isWildcard, parseAddress } from "./address.ts";
import { OPTIONS, type OptionName, type ServeConfig } from "./options.ts";
import { repeated } from "./schemas.ts";

/** What is wrong with an option in the light of the others. */
export interface CrossProblem {
  readonly name: OptionName;
  readonly message: string;
}

type Check = (config: Partial<ServeConfig>) => readonly CrossProblem[];

/**
 * The rules that need more than one option. Options that are wrong on their own are absent, and a rule that needs one of
 * them is left out.
 */
export function crossCheck(config: Partial<ServeConfig>): CrossProblem[] {
  return CHECKS.flatMap((check) => check(config));
}

const CHECKS: readonly Check[] = [timing, membership, distinctListeners, loopbackOnly, advertised, sizes];

function timing(config: Partial<ServeConfig>): CrossProblem[] {
  const { electionTimeoutMinMs: min, electionTimeoutMaxMs: max, heartbeatMs, tickMs } = config;
  const problems: CrossProblem[] = [];
  if (min !== undefined && max !== undefined && min >= max) {
    problems.push(problem("electionTimeoutMaxMs", `must be above --election-timeout-min-ms (${min}), not ${max}`));
  }
  if (min !== undefined && heartbeatMs !== undefined && heartbeatMs * 2 >= min) {
    const bound = `must be below half of --election-timeout-min-ms (${min})`;
    problems.push(problem("heartbeatMs", `${bound}, not ${heartbeatMs}`));
  }
  if (tickMs !== undefined && heartbeatMs !== undefined && tickMs > heartbeatMs) {
    problems.push(problem("tickMs", `must be at most --heartbeat-ms (${heartbeatMs}), not ${tickMs}`));
  }
  return problems;
}

function membership({ id, initialCluster }: Partial<ServeConfig>): CrossProblem[] {
  if (id === undefined || initialCluster === undefined) return [];
  const ids = initialCluster.map((member) => member.id);
  if (ids.includes(id)) return [];
  return [problem("initialCluster", `must contain this node, --id ${id}; it names ${ids.join(", ")}`)];
}

const LISTENERS = ["clientAddress", "peerAddress", "httpAddress"] as const;

function distinctListeners(config: Partial<ServeConfig>): CrossProblem[] {
  const taken = repeated(LISTENERS.flatMap((name) => config[name] ?? []));
  return LISTENERS.filter((name) => taken.includes(config[name] ?? "")).map((name) =>
    problem(name, `must differ from the other listeners, ${config[name]} is given twice`),
  );
}

function loopbackOnly(config: Partial<ServeConfig>): CrossProblem[] {
  if (config.insecure !== false) return [];
  return LISTENERS.filter((name) => {
    const at = parseAddress(config[name] ?? "");
    return at !== undefined && !isLoopback(at.host);
  }).map((name) => {
    const what = `${config[name]} can be reached from other machines, without TLS and without authentication;`;
    return problem(name, `${what} use a loopback address, or add --insecure where the network itself is trusted`);
  });
}

/** A wildcard can be listened on, but nobody can dial it. */
function advertised(config: Partial<ServeConfig>): CrossProblem[] {
  return (["advertiseClientAddress", "advertisePeerAddress"] as const)
    .filter((name) => isWildcard(parseAddress(config[name] ?? "")?.host ?? "localhost"))
    .map((name) => problem(name, `must be an address that others can dial, not ${config[name]}`));
}

function sizes({ maxCommandBytes, maxProposalBytes }: Partial<ServeConfig>): CrossProblem[] {
  if (maxCommandBytes === undefined || maxProposalBytes === undefined || maxProposalBytes >= maxCommandBytes) return [];
  const bound = `must be at least --${OPTIONS.maxCommandBytes.key} (${maxCommandBytes})`;
  return [problem("maxProposalBytes", `${bound}, not ${maxProposalBytes}`)];
}

/** What is allowed and seldom meant, for the log. */
export function cautions({ advertiseClientAddress, initialCluster }: ServeConfig): string[] {
  const isLocal = (text: string): boolean => isLoopback(parseAddress(text)?.host ?? "");
  if (!isLocal(advertiseClientAddress) || initialCluster.every((member) => isLocal(member.peerAddress))) return [];
  return [
    `clients on other machines can't follow this node's answers to ${advertiseClientAddress}, which is loopback: ` +
      "set --advertise-client-address, unless all clients of this node run beside it",
  ];
}

function problem(name: OptionName, message: string): CrossProblem {
  return { name, message };
}
