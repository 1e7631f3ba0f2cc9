import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { freePorts } from "../support/ports.ts";
import { endAll, type Running, run, runHere, start, until } from "./command.ts";

// Each starts processes, and other tests run beside these.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "serve-"));
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true }));

interface Served extends Running {
  readonly address: string;
  readonly http: string;
  readonly args: readonly string[];
}

async function listeners(): Promise<readonly string[]> {
  const port = await freePorts(3);
  const at = (offset: number): string => `127.0.0.1:${port + offset}`;
  return ["--client-address", at(0), "--peer-address", at(1), "--http-address", at(2)];
}

async function serve(directory: string, more: readonly string[] = []): Promise<Served> {
  const args = ["serve", "--data-dir", join(folder, directory), ...(await listeners()), ...more];
  const running = start(args);
  await until(
    () => running.stderr() + running.stdout(),
    () => events(running).includes("ready"),
  );
  return { ...running, args, address: args[4] ?? "", http: `http://${args[8]}` };
}

function events(running: Running): string[] {
  const lines = running.stdout().split("\n").slice(0, -1);
  return lines.map((line) => String(JSON.parse(line).event));
}

describe("a single node", () => {
  it("starts, takes commands and shows them, and ends at SIGTERM with 0 within 5 s", async () => {
    const node = await serve("one", ["--client-socket", join(folder, "socket")]);
    const at = ["--address", node.address];

    const proposed = await until(
      () => node.stdout(),
      async () => {
        const answer = await runHere(["propose", "set x 1", "-o", "json", ...at]);
        return answer.code === 0 ? JSON.parse(answer.stdout) : undefined;
      },
    );
    expect(proposed).toEqual({ index: 2, term: 1, duplicate: false });
    const second = await runHere(["propose", "--base64", "AAEC", "--address", `unix:${join(folder, "socket")}`]);
    expect(second.stdout).toBe("committed at index 3, term 1\n");

    const status = await runHere(["status", "-o", "json", ...at]);
    const state = { term: 1, role: "leader", leader: "n1", commit: 3, applied: 3, last: 3 };
    expect(JSON.parse(status.stdout).nodes).toEqual([
      expect.objectContaining({ id: "n1", address: node.address, ...state }),
    ]);
    const members = await runHere(["members", "-o", "json", ...at]);
    expect(JSON.parse(members.stdout).members).toMatchObject([
      { id: "n1", clientAddress: node.address, connected: true },
    ]);

    const log = await runHere(["log", ...at]);
    const lines = log.stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^ +INDEX +TERM +TYPE +COMMAND$/);
    expect(lines[1]).toMatch(/^ +1 +1 +logId +[0-9a-f]{32}$/);
    expect(lines.slice(2)).toEqual([
      expect.stringMatching(/^ +2 +1 +command +set x 1$/),
      expect.stringMatching(/^ +3 +1 +command +base64:AAEC$/),
    ]);
    const range = await runHere(["log", "--from", "2", "--to", "2", "-o", "json", ...at]);
    expect(JSON.parse(range.stdout)).toEqual({
      ...{ index: 2, term: 1, type: "command" },
      ...{ command: "c2V0IHggMQ==", text: "set x 1", committed: true },
    });

    const subscribed = await runHere(["subscribe", "--after", "2", "--count", "1", "-o", "json", ...at]);
    expect(JSON.parse(subscribed.stdout)).toEqual({ index: 3, term: 1, type: "command", command: "AAEC" });
    expect((await fetch(`${node.http}/readyz`)).status).toBe(200);

    const named = ["propose", "set y 2", "--client-id", "c", "--sequence", "7", ...at];
    expect((await runHere(named)).stdout).toBe("committed at index 4, term 1\n");
    expect((await runHere(named)).stdout).toBe("committed at index 4, term 1, by an earlier try\n");
    const shown = await runHere(["log", "--from", "4", "-o", "json", ...at]);
    expect(JSON.parse(shown.stdout)).toMatchObject({ index: 4, clientId: "c", sequence: 7 });
    const fenced = await runHere(["propose", "x", "--expected-term", "9", ...at]);
    expect([fenced.code, fenced.stderr]).toEqual([1, expect.stringContaining("the term is 1, not 9")]);

    const subscriber = start(["subscribe", "--tail", "-o", "json", ...at]);
    await until(
      () => subscriber.stderr(),
      async () => {
        await runHere(["propose", "again", ...at]);
        return subscriber.stdout().includes("again");
      },
    );
    const askedMs = performance.now();
    node.child.kill("SIGTERM");
    const finished = await node.finished;
    expect(finished.code).toBe(0);
    expect(performance.now() - askedMs).toBeLessThan(5_000);
    expect(events(node).slice(-2)).toEqual(["stopping", "stopped"]);
    await until(
      () => subscriber.stderr(),
      () => subscriber.stderr().includes("going on at"),
    );
    expect(subscriber.stderr()).toContain("DRAINING");
  });

  it.skipIf(process.platform !== "linux")(
    "runs with a small young generation, unless somebody chose another",
    async () => {
      const commandLine = ({ child }: Running): string => readFileSync(`/proc/${child.pid}/cmdline`, "utf8");
      const usual = await serve("young");
      expect(commandLine(usual).split("\0")).toContain("--max-semi-space-size=8");
      expect(usual.stderr()).toBe("");
      const chosen = start(["serve", "--data-dir", join(folder, "chosen"), ...(await listeners())], {
        env: { NODE_OPTIONS: "--max-semi-space-size=32" },
      });
      await until(
        () => chosen.stderr() + chosen.stdout(),
        () => events(chosen).includes("ready"),
      );
      expect(commandLine(chosen)).not.toContain("semi-space");
    },
  );

  it("keeps its log over a restart", async () => {
    const first = await serve("again");
    await until(
      () => first.stdout(),
      async () => (await runHere(["propose", "kept", "--address", first.address])).code === 0,
    );
    first.child.kill("SIGKILL");
    await first.finished;
    const second = start(first.args);
    const kept = await until(
      () => second.stdout() + second.stderr(),
      async () => {
        const answer = await runHere(["subscribe", "--count", "1", "-o", "json", "--address", first.address]);
        return answer.code === 0 ? JSON.parse(answer.stdout) : undefined;
      },
    );
    expect(kept).toMatchObject({ index: 2, text: "kept" });
  });
});

describe("what serve refuses", () => {
  it("a second process on one data directory, with 1, and the first goes on", async () => {
    const first = await serve("shared");
    const second = await run(["serve", "--data-dir", join(folder, "shared"), ...(await listeners())]);
    expect(second.stderr).toContain(join(folder, "shared"));
    expect(second.code).toBe(1);
    expect((await runHere(["status", "--address", first.address])).code).toBe(0);
  });

  it("a data directory of another node, with 1", async () => {
    const first = await serve("owned");
    first.child.kill("SIGTERM");
    await first.finished;
    const { code, stderr } = await run([...first.args, "--id", "n2"]);
    expect(stderr).toContain("was made for the node n1, but this process was started as n2");
    expect(code).toBe(1);
  });

  it.each(["--client-address", "--peer-address", "--http-address"])("a %s that is in use, with 1", async (flag) => {
    const addresses = await listeners();
    const address = addresses[addresses.indexOf(flag) + 1] ?? "";
    const other = await listenAt(Number(address.split(":")[1]));
    const { code, stderr } = await run(["serve", "--data-dir", join(folder, `taken${flag}`), ...addresses]);
    other.close();
    expect(stderr).toContain(`${flag}: `);
    expect(stderr).toContain(address);
    expect(stderr).toMatch(/in use/);
    expect(code).toBe(1);
  });

  it("a --client-socket that is a file, with 1, and leaves the file alone", async () => {
    const file = join(folder, "notes");
    writeFileSync(file, "precious");
    const directory = join(folder, "socketless");
    const { code, stderr } = await run([
      "serve",
      "--data-dir",
      directory,
      ...(await listeners()),
      "--client-socket",
      file,
    ]);
    expect(stderr).toContain("--client-socket: ");
    expect(stderr).toContain(`${file}: it is not a socket`);
    expect(code).toBe(1);
    expect(readFileSync(file, "utf8")).toBe("precious");
  });

  it("a data directory that is a file, with 74", async () => {
    writeFileSync(join(folder, "file"), "");
    const { code, stderr } = await run(["serve", "--data-dir", join(folder, "file"), ...(await listeners())]);
    expect(stderr).toContain(join(folder, "file"));
    expect(code).toBe(74);
  });
});

function listenAt(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, "127.0.0.1", () => resolve(server));
  });
}
