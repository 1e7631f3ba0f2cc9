import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { findGrpcurl, grpcurl } from "../support/grpcurl.ts";

const binary = findGrpcurl() ?? "";

let cluster: Cluster;

// Skipped, and shown as skipped, where there is no grpcurl: `go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest`.
describe.skipIf(binary === "")("grpcurl without proto files, on every node", () => {
  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3 });
    await cluster.leader();
  }, 60_000);
  afterAll(closeClusters);

  function onEach(args: readonly string[], method = ""): Promise<string[]> {
    const call = method === "" ? [] : [method];
    return Promise.all(cluster.nodes.map(({ client }) => grpcurl(binary, [...args, client.address, ...call])));
  }

  it("lists the services", async () => {
    for (const output of await onEach([], "list")) {
      expect(output.trim().split("\n")).toEqual(
        expect.arrayContaining(["grpc.health.v1.Health", "raft.v1.ClusterService", "raft.v1.LogService"]),
      );
    }
  });

  it.each([
    [
      "raft.v1.LogService",
      "rpc ApplyStream ( .raft.v1.ApplyStreamRequest ) returns ( stream .raft.v1.ApplyStreamResponse );",
    ],
    ["raft.v1.LogService.Propose", "rpc Propose ( .raft.v1.ProposeRequest ) returns ( .raft.v1.ProposeResponse );"],
    ["raft.v1.Entry", "bytes command = 4;"],
    ["raft.v1.ClusterService", "rpc GetStatus ( .raft.v1.GetStatusRequest ) returns ( .raft.v1.GetStatusResponse );"],
    ["grpc.health.v1.Health", "rpc Check ("],
  ])("describes %s", async (symbol, line) => {
    const outputs = await Promise.all(
      cluster.nodes.map(({ client }) => grpcurl(binary, [client.address, "describe", symbol])),
    );
    for (const output of outputs) expect(output).toContain(line);
  });

  it("proposes, through followers too, and shows the commands on the ApplyStream of every node", async () => {
    const commands = cluster.nodes.map(({ id }) => Buffer.from(`through ${id}`).toString("base64"));
    for (const [i, { client }] of cluster.nodes.entries()) {
      const data = JSON.stringify({ command: commands[i] });
      const answer = await grpcurl(binary, ["-d", data, client.address, "raft.v1.LogService/Propose"]);
      expect(JSON.parse(answer)).toEqual({ index: expect.stringMatching(/^[0-9]+$/), term: expect.any(String) });
    }
    await cluster.allApplied((await cluster.nodes[2]?.state())?.applied ?? 0);
    // The stream has no end: grpcurl shows what came until its time is up.
    const outputs = await Promise.all(
      cluster.nodes.map(({ client }) =>
        grpcurl(binary, ["-max-time", "2", client.address, "raft.v1.LogService/ApplyStream"]).catch(String),
      ),
    );
    for (const output of outputs) {
      for (const command of commands) expect(output).toContain(`"command": "${command}"`);
      expect(output).toContain('"header"');
    }
  });

  it("shows the status and the state, and reads the log", async () => {
    const outputs = await onEach([], "raft.v1.ClusterService/GetStatus");
    for (const [i, output] of outputs.entries()) {
      expect(JSON.parse(output)).toMatchObject({ clusterId: "test", ready: true, state: { id: cluster.nodes[i]?.id } });
    }
    for (const output of await onEach([], "raft.v1.LogService/GetState")) {
      expect(JSON.parse(output)).toMatchObject({
        term: expect.any(String),
        leaderId: expect.stringMatching(/^n[123]$/),
      });
    }
    for (const output of await onEach([], "raft.v1.ClusterService/ReadLog"))
      expect(output).toContain("ENTRY_TYPE_LOG_ID");
  });

  it("checks the health, of the whole and of each service", async () => {
    const services = ["", "raft.v1.LogService", "raft.v1.ClusterService"];
    for (const service of services) {
      for (const output of await onEach(["-d", JSON.stringify({ service })], "grpc.health.v1.Health/Check")) {
        expect(JSON.parse(output)).toEqual({ status: "SERVING" });
      }
    }
  });

  it("shows the reason of a refusal", async () => {
    const address = cluster.nodes[0]?.client.address ?? "";
    const output = await grpcurl(binary, [address, "raft.v1.LogService/Propose"]).catch(String);
    expect(output).toContain("Code: InvalidArgument");
    expect(output).toContain('"domain": "raft-sidecar"');
    expect(output).toContain('"reason": "INVALID_ARGUMENT"');
  });
});
