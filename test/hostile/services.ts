import { create, createFileRegistry, type DescMessage, type DescService } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Type, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { service as healthDefinition } from "grpc-health-check";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { RaftService } from "../../gen/raft/v1/raft_pb.js";

export type ListenerName = "client" | "peer";

/** One RPC of one listener, as a stranger knows it: by its path and what it takes. */
export interface Rpc {
  readonly listener: ListenerName;
  readonly path: string;
  readonly input: DescMessage;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

const library = libraryMessages();

/** Every RPC of both gRPC listeners. What the protos gain is here without a change. */
export const RPCS: readonly Rpc[] = [
  ...rpcsOf("client", LogService),
  ...rpcsOf("client", ClusterService),
  ...healthRpcs("client"),
  ...["v1", "v1alpha"].map((version) => reflectionRpc(version)),
  ...rpcsOf("peer", RaftService),
  ...healthRpcs("peer"),
];

function rpcsOf(listener: ListenerName, service: DescService): Rpc[] {
  return service.methods.map(({ name, input, methodKind }) => ({
    listener,
    path: `/${service.typeName}/${name}`,
    input,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
  }));
}

function healthRpcs(listener: ListenerName): Rpc[] {
  return Object.values(healthDefinition).map(({ path, requestStream, responseStream }) => ({
    listener,
    path,
    input: library("HealthCheckRequest"),
    requestStream,
    responseStream,
  }));
}

function reflectionRpc(version: string): Rpc {
  return {
    listener: "client",
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    input: library("ServerReflectionRequest"),
    requestStream: true,
    responseStream: true,
  };
}

/** The requests of the services that come from libraries, whose descriptors only these libraries can read. */
function libraryMessages(): (name: string) => DescMessage {
  const { STRING, INT32, MESSAGE } = FieldDescriptorProto_Type;
  const text = (name: string, number: number) => ({ name, number, type: STRING });
  const file = create(FileDescriptorProtoSchema, {
    name: "library.proto",
    package: "library",
    syntax: "proto3",
    messageType: [
      { name: "HealthCheckRequest", field: [text("service", 1)] },
      {
        name: "ServerReflectionRequest",
        field: [
          text("host", 1),
          text("file_by_filename", 3),
          text("file_containing_symbol", 4),
          { name: "file_containing_extension", number: 5, type: MESSAGE, typeName: ".library.ExtensionRequest" },
          text("all_extension_numbers_of_type", 6),
          text("list_services", 7),
        ],
      },
      {
        name: "ExtensionRequest",
        field: [text("containing_type", 1), { name: "extension_number", number: 2, type: INT32 }],
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return (name) => {
    const found = registry.getMessage(`library.${name}`);
    if (found === undefined) throw new Error(`no message ${name}`);
    return found;
  };
}
