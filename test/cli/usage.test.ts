import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OPTION_NAMES, OPTIONS } from "../../src/config/options.ts";
import { freePorts } from "../support/ports.ts";
import { endAll, run, runHere } from "./command.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "usage-"));
});
afterAll(async () => {
  await endAll();
  rmSync(folder, { recursive: true });
});

/** Nobody listens there. */
const NOBODY = "127.0.0.1:9";

describe("help", () => {
  it.each(["serve", "dev", "status", "members", "log", "propose", "subscribe", "bench", "config print"])(
    "%s teaches with examples",
    async (command) => {
      const { code, stdout, stderr } = await runHere([...command.split(" "), "--help"]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain(`Usage: raft-sidecar ${command}`);
      expect(stdout).toContain("Examples:\n");
    },
  );

  it("of serve lists every option with its default", async () => {
    const { stdout } = await runHere(["serve", "--help"]);
    for (const name of OPTION_NAMES) expect(stdout).toContain(`--${OPTIONS[name].key}`);
    expect(stdout).toContain("127.0.0.1:7420");
  });

  it("of bench says what it does to the cluster, and which latency it can tell", async () => {
    const { stdout } = await runHere(["bench", "--help"]);
    expect(stdout.replaceAll(/\s+/g, " ")).toContain(
      "They stay in its log, and every subscriber gets them: use a test",
    );
    expect(stdout.replaceAll(/\s+/g, " ")).toContain("is no answer to how long one takes at some rate");
  });

  it("is what the program itself shows, with all commands, and exits 2 when no command was given", async () => {
    const asked = await runHere(["--help"]);
    expect(asked.code).toBe(0);
    for (const command of ["serve", "dev", "status", "members", "log", "propose", "subscribe", "bench", "config"]) {
      expect(asked.stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    }
    expect((await runHere([])).code).toBe(2);
  });
});

describe("wrong usage exits 2 and says what is wrong", () => {
  it.each([
    [["nonsense"], "unknown command 'nonsense'"],
    [["status", "--bogus"], "unknown option '--bogus'"],
    [["status", "--address", "here"], '"here" must be host:port'],
    [["status", "-o", "xml"], "table, json"],
    [["log", "--from", "x"], "--from"],
    [["subscribe", "--after", "-1"], "--after"],
    [["subscribe", "--tail", "--after", "1"], "cannot be used with"],
    [["dev", "--nodes", "0"], "from 1 to 9"],
    [["dev", "--base-port", "80"], "from 1024 to"],
    [["propose", "x", "--file", "y"], "not both"],
    [["propose", "--base64", "a"], "--base64"],
    [["propose", ""], "at least one byte"],
    [["propose", "x", "--client-id", "c"], "--client-id and --sequence together"],
    [["propose", "x", "--sequence", "1"], "--client-id and --sequence together"],
    [["bench", "--mode", "both"], "Allowed choices are stream, unary"],
    [["bench", "--in-flight", "0"], "from 1 to 4096"],
    [["bench", "--rate", "1.5"], "from 1 to 1000000"],
    [["bench", "--size", "3000000"], "from 1 to 2096128"],
    [["bench", "--duration", "0"], "from 1 to 86400"],
    [["bench", "--warm-up", "-1"], "from 0 to 3600"],
    [["bench", "--timeout-ms", "5"], "from 100 to 600000"],
    [["bench", "--in-flight", "4096", "--size", "65536"], "--in-flight must be at most 1024"],
    [["serve", "--tick-ms", "0", "--id", "N1"], "--tick-ms: must be a whole number of ms from 1 to 1000"],
    [["serve", "extra"], "too many arguments"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await runHere(args);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("every wrong option of serve at once, and no data directory is made", async () => {
    const { code, stderr } = await run(["serve", "--id", "N1", "--data-dir", join(folder, "data")], {
      env: { RAFT_SIDECAR_HEARTBEAT_MS: "never" },
    });
    expect(code).toBe(2);
    expect(stderr).toContain("--id: must be");
    expect(stderr).toContain("--heartbeat-ms (environment RAFT_SIDECAR_HEARTBEAT_MS): must be");
    expect(() => rmSync(join(folder, "data"))).toThrow("ENOENT");
  });
});

describe("a data directory of dev that can't be made exits 74, and nothing is started", () => {
  // In /proc nothing can be made, and it says that a parent is missing which exists.
  const proc = existsSync("/proc/self") ? ["/proc/raft-sidecar"] : [];
  it.each(["file", "file/below", ...proc])(
    "%s",
    async (path) => {
      writeFileSync(join(folder, "file"), "");
      const dataDir = resolve(folder, path);
      const port = String(await freePorts(23));
      const { code, stdout, stderr } = await run(["dev", "--data-dir", dataDir, "--base-port", port]);
      expect(stderr).toMatch(
        /^raft-sidecar: the data directory \S+ cannot be created \((EEXIST|ENOTDIR|ENOENT)\)\. Create it/,
      );
      expect(stderr).toContain(dataDir);
      expect({ code, stdout }).toEqual({ code: 74, stdout: "" });
    },
    30_000,
  );
});

describe("a cluster that can't be reached exits 3", () => {
  it.each([["propose", "x"], ["members"], ["log"], ["subscribe"], ["status"], ["bench"]])("%s %s", async (...args) => {
    const { code, stderr } = await runHere([...args.filter((arg) => arg !== undefined), "--address", NOBODY]);
    expect(stderr).toContain("no node of the cluster can be reached");
    expect(stderr).toContain(`${NOBODY}: UNAVAILABLE: connect ECONNREFUSED`);
    expect(code).toBe(3);
  });

  it("and status says so of each node in its JSON too", async () => {
    const { code, stdout } = await runHere(["status", "-o", "json", "--address", NOBODY]);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toEqual({
      nodes: [{ id: "", address: NOBODY, error: expect.stringContaining("ECONNREFUSED") }],
    });
  });
});

describe("config print", () => {
  it("says with --origin what set each value", async () => {
    const file = join(folder, "node.yaml");
    writeFileSync(file, "tick-ms: 20\n");
    const { code, stdout } = await run(["config", "print", "--origin", "--id", "n7", "--config", file], {
      env: { RAFT_SIDECAR_CLUSTER_ID: "blue" },
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^id +n7 +flag --id$/m);
    expect(stdout).toMatch(/^cluster-id +blue +environment RAFT_SIDECAR_CLUSTER_ID$/m);
    expect(stdout).toMatch(new RegExp(`^tick-ms +20 +file ${file}$`, "m"));
    expect(stdout).toMatch(/^heartbeat-ms +100 +default$/m);
  });

  it("prints JSON for programs", async () => {
    const { stdout } = await runHere(["config", "print", "-o", "json", "--id", "n7"]);
    const { options } = JSON.parse(stdout);
    expect(options).toHaveLength(OPTION_NAMES.length);
    expect(options[0]).toMatchObject({ key: "id", value: "n7", origin: "flag --id", environment: "RAFT_SIDECAR_ID" });
  });

  it("prints a file that serve would read the same way", async () => {
    const args = ["--initial-cluster", "n1=a:1,n2=b:2", "--client-socket", "/tmp/a b", "--insecure"];
    const first = await runHere(["config", "print", ...args]);
    const file = join(folder, "printed.yaml");
    writeFileSync(file, first.stdout);
    const second = await runHere(["config", "print", "--config", file]);
    expect(second).toEqual(first);
    expect(second.code).toBe(0);
  });
});
