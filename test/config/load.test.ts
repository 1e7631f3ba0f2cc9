import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cautions } from "../../src/config/checks.ts";
import { ConfigError, loadConfig } from "../../src/config/load.ts";
import { environmentName, OPTION_NAMES, OPTIONS, type OptionName } from "../../src/config/options.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "config-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Flags = Partial<Record<OptionName, string>>;

function load(flags: Flags = {}, environment: Record<string, string> = {}, yaml?: string) {
  let file: string | undefined;
  if (yaml !== undefined) {
    file = join(folder, "node.yaml");
    writeFileSync(file, yaml);
  }
  return loadConfig({ flags, file, environment });
}

function problemsOf(flags: Flags, environment: Record<string, string> = {}, yaml?: string): readonly string[] {
  try {
    load(flags, environment, yaml);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function originOf(name: OptionName, loaded: ReturnType<typeof load>): string | undefined {
  return loaded.settings.find((setting) => setting.name === name)?.origin;
}

describe("where options come from", () => {
  it("is one voter on loopback with no options at all", () => {
    const { config } = load();
    expect(config).toMatchObject({
      id: "n1",
      dataDir: "./raft-data",
      clientAddress: "127.0.0.1:7420",
      peerAddress: "127.0.0.1:7421",
      httpAddress: "127.0.0.1:7422",
      initialCluster: [{ id: "n1", peerAddress: "127.0.0.1:7421" }],
      insecure: false,
      electionTimeoutMinMs: 400,
      electionTimeoutMaxMs: 800,
      heartbeatMs: 100,
    });
  });

  it("takes a flag before the environment, that before the file, that before the default", () => {
    const yaml = "cluster-id: from-file\nlog-level: warn\nheartbeat-ms: 50\n";
    const environment = { RAFT_SIDECAR_CLUSTER_ID: "from-environment", RAFT_SIDECAR_LOG_LEVEL: "error" };
    const loaded = load({ clusterId: "from-flag" }, environment, yaml);
    expect(loaded.config).toMatchObject({ clusterId: "from-flag", logLevel: "error", heartbeatMs: 50, tickMs: 10 });
    expect(originOf("clusterId", loaded)).toBe("flag --cluster-id");
    expect(originOf("logLevel", loaded)).toBe("environment RAFT_SIDECAR_LOG_LEVEL");
    expect(originOf("heartbeatMs", loaded)).toBe(`file ${join(folder, "node.yaml")}`);
    expect(originOf("tickMs", loaded)).toBe("default");
  });

  it("reads every option from the environment and from the file", () => {
    const values = Object.fromEntries(load().settings.map(({ name, text }) => [name, text]));
    const changed: Record<OptionName, string> = { ...(values as Record<OptionName, string>), clientSocket: "/tmp/s" };
    for (const name of OPTION_NAMES) {
      const { key } = OPTIONS[name];
      const fromEnvironment = load({}, { [environmentName(key)]: changed[name] });
      expect(originOf(name, fromEnvironment), name).toBe(`environment ${environmentName(key)}`);
      const fromFile = load({}, {}, `${key}: ${JSON.stringify(changed[name])}\n`);
      expect(originOf(name, fromFile), name).toContain("file ");
    }
  });

  it("reads the members of the cluster from a mapping or a list in the file", () => {
    const expected = [
      { id: "n1", peerAddress: "127.0.0.1:1" },
      { id: "n2", peerAddress: "127.0.0.1:2" },
    ];
    const mapping = load({}, {}, "initial-cluster:\n  n1: 127.0.0.1:1\n  n2: 127.0.0.1:2\n");
    expect(mapping.config.initialCluster).toEqual(expected);
    expect(load({}, {}, "initial-cluster: [n1=127.0.0.1:1, n2=127.0.0.1:2]").config.initialCluster).toEqual(expected);
  });

  it("names the file by the environment too, and takes an empty variable for none", () => {
    const file = join(folder, "other.yaml");
    writeFileSync(file, "id: n9\n");
    const environment = { RAFT_SIDECAR_CONFIG: file, RAFT_SIDECAR_CLUSTER_ID: "" };
    const loaded = loadConfig({ flags: {}, file: undefined, environment });
    expect(loaded.config.id).toBe("n9");
    expect(originOf("clusterId", loaded)).toBe("default");
  });

  it("leaves variables alone that Kubernetes makes for a service of this name", () => {
    expect(problemsOf({}, { RAFT_SIDECAR_PORT: "tcp://10.0.0.1:80", RAFT_SIDECAR_SERVICE_HOST: "10.0.0.1" })).toEqual(
      [],
    );
  });

  it("leaves it to the disk how much of it is kept free, unless a number is given; 0 is one", () => {
    expect(load().config.minFreeBytes).toBeUndefined();
    expect(load({ minFreeBytes: "auto" }).config.minFreeBytes).toBeUndefined();
    expect(load({ minFreeBytes: "0" }).config.minFreeBytes).toBe(0);
    expect(load({ minFreeBytes: "1048576" }).config.minFreeBytes).toBe(1_048_576);
  });

  it("follows the listeners and the id where other options aren't given", () => {
    const { config } = load({ id: "a", clientAddress: "127.0.0.1:1", peerAddress: "127.0.0.1:2" });
    expect(config).toMatchObject({
      advertiseClientAddress: "127.0.0.1:1",
      advertisePeerAddress: "127.0.0.1:2",
      initialCluster: [{ id: "a", peerAddress: "127.0.0.1:2" }],
    });
  });
});

describe("what is refused", () => {
  it.each([
    ["id", "N1", "lower-case"],
    ["id", "a".repeat(65), "at most 63"],
    ["id", "", "lower-case"],
    ["dataDir", "", "must be a path"],
    ["clientAddress", "localhost", "host:port"],
    ["peerAddress", "127.0.0.1:0", "port from 1 to 65535"],
    ["httpAddress", "127.0.0.1:65536", "port from 1 to 65535"],
    ["httpAddress", "::1:80", "host:port"],
    ["clientSocket", "s".repeat(108), "107 bytes"],
    ["advertiseClientAddress", "http://a:1", "host:port"],
    ["advertisePeerAddress", "a b:1", "host:port"],
    ["initialCluster", "n1", "id=host:port"],
    ["initialCluster", "n1=127.0.0.1", "host:port"],
    ["initialCluster", "n1=127.0.0.1:1,", "id=host:port"],
    ["initialCluster", "n1=127.0.0.1:1,N2=127.0.0.1:2", 'an id "N2"'],
    ["initialCluster", "n1=127.0.0.1:1,n1=127.0.0.1:2", "names n1 more than once"],
    ["initialCluster", "n1=127.0.0.1:1,n2=127.0.0.1:1", "127.0.0.1:1 more than once"],
    ["initialCluster", "n2=127.0.0.1:1", "must contain this node, --id n1"],
    ["clusterId", "a b", "without spaces"],
    ["insecure", "maybe", "true or false"],
    ["electionTimeoutMinMs", "abc", "whole number of ms from 20 to 60000"],
    ["electionTimeoutMinMs", "19", "20 to 60000"],
    ["electionTimeoutMaxMs", "400", "above --election-timeout-min-ms (400)"],
    ["heartbeatMs", "200", "below half of --election-timeout-min-ms (400)"],
    ["heartbeatMs", "-1", "1 to 30000"],
    ["tickMs", "101", "at most --heartbeat-ms (100)"],
    ["maxCommandBytes", "0", "1 to 2096128"],
    ["maxCommandBytes", "2096129", "1 to 2096128"],
    ["maxProposals", "1.5", "whole number"],
    ["maxProposalBytes", "1000", "at least --max-command-bytes (1048576)"],
    ["cacheBytes", "1", "1048576 to"],
    ["proposalTimeoutMs", "99", "100 to 600000"],
    ["minFreeBytes", "-1", "auto, or a whole number of bytes from 0 to 1099511627776"],
    ["minFreeBytes", "5 %", "auto, or a whole number of bytes"],
    ["logLevel", "loud", "fatal, error, warn, info, debug, trace, silent"],
  ] as const)("a wrong --%s, %j, with its name and what is right", (name, text, right) => {
    const problems = problemsOf({ [name]: text });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`--${OPTIONS[name].key}: `);
    expect(problems[0]).toContain(right);
  });

  it("everything that is wrong at once, each with what set it", () => {
    const problems = problemsOf(
      { id: "X" },
      { RAFT_SIDECAR_TICK_MS: "fast" },
      "log-level: loud\nunknown: 1\ncluster-id: [[1]]\n",
    );
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      "unknown",
      "cluster-id",
      "--id",
      "--tick-ms (environment RAFT_SIDECAR_TICK_MS)",
      `--log-level (file ${join(folder, "node.yaml")})`,
    ]);
  });

  it.each(["clientAddress", "peerAddress", "httpAddress"] as const)("a %s off loopback without --insecure", (name) => {
    const flags: Flags = { [name]: "10.0.0.1:80" };
    expect(problemsOf(flags)).toEqual([expect.stringContaining("add --insecure")]);
    expect(problemsOf({ ...flags, insecure: "true" })).toEqual([]);
    expect(problemsOf({ [name]: "[::1]:80" })).toEqual([]);
    expect(problemsOf({ [name]: "127.1.2.3:80" })).toEqual([]);
  });

  it("a wildcard that other nodes would be told to dial", () => {
    const flags: Flags = { clientAddress: "0.0.0.0:80", peerAddress: "[::]:81", insecure: "true" };
    expect(problemsOf(flags)).toEqual([
      expect.stringContaining("--advertise-client-address: must be an address that others can dial"),
      expect.stringContaining("--advertise-peer-address: must be an address that others can dial"),
    ]);
    expect(problemsOf({ ...flags, advertiseClientAddress: "a:80", advertisePeerAddress: "b:81" })).toEqual([]);
  });

  it("two listeners on one address", () => {
    expect(problemsOf({ httpAddress: "127.0.0.1:7420" })).toEqual([
      expect.stringContaining("--client-address: must differ"),
      expect.stringContaining("--http-address: must differ"),
    ]);
  });

  it("a file that is missing, no YAML, or no mapping", () => {
    expect(() => loadConfig({ flags: {}, file: join(folder, "none"), environment: {} })).toThrow(/--config: .*ENOENT/);
    expect(problemsOf({}, {}, "a: b: c")).toEqual([expect.stringContaining("can't be read as YAML")]);
    expect(problemsOf({}, {}, "- id")).toEqual([expect.stringContaining("must be a mapping")]);
  });
});

describe("cautions", () => {
  const local: Flags = { initialCluster: "n1=127.0.0.1:7421,n2=127.0.0.1:7431" };
  const remote: Flags = {
    initialCluster: "n1=10.0.0.1:7421,n2=10.0.0.2:7421",
    peerAddress: "10.0.0.1:7421",
    insecure: "true",
  };

  it("warn of a loopback client address that is told to other machines", () => {
    expect(cautions(load(remote).config)).toEqual([expect.stringContaining("--advertise-client-address")]);
  });

  it("are silent where all is on one machine, or clients elsewhere can dial what they are told", () => {
    expect(cautions(load(local).config)).toEqual([]);
    expect(cautions(load({ ...remote, advertiseClientAddress: "10.0.0.1:7420" }).config)).toEqual([]);
  });
});
