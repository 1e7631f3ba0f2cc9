import { execFile } from "node:child_process";
import { accessSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { status } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import {
  call,
  eventually,
  failureOf,
  makeFolder,
  openServerStream,
  Received,
  removeFolder,
  startNode,
  type TestNode,
} from "./support.ts";

let folder: string;
let sidecar: TestNode;

beforeAll(async () => {
  folder = await makeFolder();
  sidecar = await startNode({ dataDir: folder });
  await eventually(() => sidecar.node.status().notReadyReason === "", "ready");
});

afterAll(async () => {
  await sidecar.stop();
  await removeFolder(folder);
});

const propose = (text: string) => call(sidecar.client, LogService.method.propose, { command: Buffer.from(text) });

describe("ClusterService", () => {
  it("GetStatus tells where the node stands", async () => {
    const { index } = await propose("a");
    const response = await call(sidecar.client, ClusterService.method.getStatus, {});
    expect(response).toMatchObject({ clusterId: "test", version: "0.0.0-test", ready: true, notReadyReason: "" });
    expect(response.logId).toHaveLength(16);
    expect(response.durableIndex).toBeGreaterThanOrEqual(index);
    expect(response.state?.commitIndex).toBeGreaterThanOrEqual(index);
    expect(response.disk).toMatchObject({ low: false });
    expect(response.disk?.usedBytes).toBeGreaterThan(0n);
    expect(response.disk?.totalBytes).toBeGreaterThan(response.disk?.limitBytes ?? 0n);
  });

  it("ListMembers tells of this node, connected to itself", async () => {
    const { members } = await call(sidecar.client, ClusterService.method.listMembers, {});
    expect(members).toMatchObject([
      { id: "n1", peerAddress: sidecar.peerAddress, clientAddress: sidecar.listener.addresses[0], connected: true },
    ]);
    expect(members[0]?.incarnation).toHaveLength(16);
  });

  it("ReadLog streams a range with internal entries, then ends", async () => {
    for (const text of ["a", "b", "c"]) await propose(text);
    const whole = new Received(openServerStream(sidecar.client, ClusterService.method.readLog, {}));
    expect((await whole.end()).code).toBe(status.OK);
    const entries = whole.messages.flatMap((message) => message.entries);
    expect(entries.map((entry) => Number(entry.index))).toEqual(entries.map((_, i) => i + 1));
    expect(entries.length).toBe(sidecar.node.state().last);
    expect(entries[0]?.type).toBe(3);
    const range = { startIndex: 2n, endIndex: 3n };
    const part = new Received(openServerStream(sidecar.client, ClusterService.method.readLog, range));
    await part.end();
    expect(part.messages.flatMap((message) => message.entries).map((entry) => entry.index)).toEqual([2n, 3n]);
  });

  it("ReadLog refuses a range that ends before it starts, and ends at once beyond the log", async () => {
    const backwards = openServerStream(sidecar.client, ClusterService.method.readLog, { startIndex: 3n, endIndex: 2n });
    expect(failureFrom(await new Received(backwards).end())?.violations[0]?.field).toBe("end_index");
    const beyond = new Received(
      openServerStream(sidecar.client, ClusterService.method.readLog, { startIndex: 9_999n }),
    );
    expect((await beyond.end()).code).toBe(status.OK);
    expect(beyond.messages).toEqual([]);
  });
});

describe("the listener", () => {
  it("says that an address is in use, with what to do", async () => {
    const other = await makeFolder();
    const peers = new Map([["n1", sidecar.peerAddress]]);
    await expect(startNode({ dataDir: other, peers })).rejects.toThrow("is in use: stop what listens there");
    await removeFolder(other);
  });

  it("answers an unknown method with UNIMPLEMENTED", async () => {
    const method = { ...LogService.method.getState, name: "NoSuchMethod" } as typeof LogService.method.getState;
    expect((await failureOf(call(sidecar.client, method, {}))).code).toBe(status.UNIMPLEMENTED);
  });
});

describe("health", () => {
  it.each(["", "raft.v1.LogService", "raft.v1.ClusterService"])('is SERVING for "%s"', async (service) => {
    expect(await health(service)).toBe("SERVING");
  });
});

const grpcurl = findGrpcurl();

// Installed with `go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest`; the other tests need nothing of it.
describe.skipIf(grpcurl === undefined)("grpcurl, without proto files", () => {
  const run = async (...args: string[]): Promise<string> => {
    const address = sidecar.listener.addresses[0] ?? "";
    const [flags, verbs] = [args.filter((arg) => arg.startsWith("-")), args.filter((arg) => !arg.startsWith("-"))];
    const { stdout } = await promisify(execFile)(grpcurl ?? "", ["-plaintext", ...flags, address, ...verbs]);
    return stdout;
  };

  it("lists the services", async () => {
    expect((await run("list")).trim().split("\n")).toEqual([
      "grpc.health.v1.Health",
      "raft.v1.ClusterService",
      "raft.v1.LogService",
    ]);
  });

  it("describes messages with what they import", async () => {
    expect(await run("describe", "raft.v1.LogService")).toContain("rpc ApplyStream");
    expect(await run("describe", "raft.v1.GetStatusResponse")).toContain(".google.protobuf.Duration uptime = 6;");
    expect(await run("describe", "google.rpc.ErrorInfo")).toContain("map<string, string> metadata");
  });

  it("calls", async () => {
    expect(await run('-d={"command":"aGVsbG8="}', "raft.v1.LogService/Propose")).toContain('"index"');
    expect(await run("raft.v1.ClusterService/GetStatus")).toContain("ROLE_LEADER");
    expect(await run("grpc.health.v1.Health/Check")).toContain("SERVING");
  });

  it("shows the details of an error", async () => {
    const failed = await run("-d={}", "raft.v1.LogService/Propose").catch((error: { stderr: string }) => error.stderr);
    expect(failed).toContain("InvalidArgument");
    expect(failed).toContain("raft-sidecar");
  });
});

function health(service: string): Promise<string> {
  const { Check: check } = healthService;
  if (check === undefined) throw new Error("grpc-health-check has a definition of Check");
  return new Promise((resolve, reject) => {
    sidecar.client.makeUnaryRequest(
      check.path,
      check.requestSerialize,
      check.responseDeserialize as (bytes: Buffer) => { status: string },
      { service } as never,
      (error, response) => (error === null ? resolve(response?.status ?? "") : reject(error)),
    );
  });
}

function findGrpcurl(): string | undefined {
  const { GOBIN: goBin = "", PATH: path = "" } = process.env;
  const folders = [goBin, ...path.split(":")];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, "grpcurl"))
    .find(exists);
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
