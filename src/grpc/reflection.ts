import { type DescFile, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { service as healthDefinition } from "grpc-health-check";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.js";
import { file_raft_v1_cluster } from "../../gen/raft/v1/cluster_pb.js";
import { file_raft_v1_log } from "../../gen/raft/v1/log_pb.js";

/** What a program without proto files learns of the client listener: its services, and how errors are described. */
const FILES = [file_raft_v1_log, file_raft_v1_cluster, file_google_rpc_status, file_google_rpc_error_details];

type ReflectionPackage = ConstructorParameters<typeof ReflectionService>[0];

/** Adds grpc.reflection v1 and v1alpha. `server` may be a view of one, to see what is added. */
export function addReflection(server: Pick<Server, "addService">): void {
  const descriptions = {
    "raft.v1": { fileDescriptorProtos: withImports(FILES).map(encode) },
    // The library reads nothing but the descriptors of what it is given.
    "grpc.health.v1": { fileDescriptorProtos: healthDescriptors() },
  };
  new ReflectionService(descriptions as unknown as ReflectionPackage).addToServer(server);
}

/** The files and all that they import, each once. */
function withImports(files: readonly DescFile[]): DescFile[] {
  const found = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    if (found.has(file.name)) return;
    found.set(file.name, file);
    for (const dependency of file.dependencies) visit(dependency);
  };
  for (const file of files) visit(file);
  return [...found.values()];
}

function encode(file: DescFile): Buffer {
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto));
}

/** Those of the health service as the library was built from. */
function healthDescriptors(): Buffer[] {
  const { Check: check } = healthDefinition;
  const { requestType } = check as unknown as { requestType: { fileDescriptorProtos: Buffer[] } };
  return requestType.fileDescriptorProtos.map(withMapEntryNames);
}

/**
 * The same file with the names that protobuf prescribes for the entries of maps: the health library's loader drops their
 * "Entry", and strict readers such as Go's then refuse the whole file.
 */
function withMapEntryNames(bytes: Buffer): Buffer {
  const file = fromBinary(FileDescriptorProtoSchema, bytes);
  for (const message of file.messageType) {
    for (const nested of message.nestedType) {
      if (nested.options?.mapEntry !== true || nested.name.endsWith("Entry")) continue;
      const field = message.field.find(({ typeName }) => typeName === nested.name);
      nested.name += "Entry";
      if (field !== undefined) field.typeName = `.${file.package}.${message.name}.${nested.name}`;
    }
  }
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file));
}
