import { type DescMessage, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** How a message's bytes are read and written, where that isn't left to the generated code. */
export interface Codec {
  readonly serialize: (message: never) => Buffer;
  readonly deserialize: (bytes: Buffer) => unknown;
}

/**
 * The grpc-js definition of a generated service. Keys are method names as in the proto. `codecs` replaces the generated
 * code for the messages it names by their full type name.
 */
export function serviceDefinition(
  service: DescService,
  codecs: Readonly<Record<string, Codec>> = {},
): ServiceDefinition {
  const definition: Record<string, MethodDefinition<unknown, unknown>> = {};
  for (const method of service.methods) {
    definition[method.name] = methodDefinition(service, method, codecs);
  }
  return definition;
}

function methodDefinition(
  service: DescService,
  method: DescMethod,
  codecs: Readonly<Record<string, Codec>>,
): MethodDefinition<unknown, unknown> {
  const input = codecs[method.input.typeName] ?? generatedCodec(method.input);
  const output = codecs[method.output.typeName] ?? generatedCodec(method.output);
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: input.serialize as (message: unknown) => Buffer,
    requestDeserialize: input.deserialize,
    responseSerialize: output.serialize as (message: unknown) => Buffer,
    responseDeserialize: output.deserialize,
  };
}

function generatedCodec(message: DescMessage): Codec {
  return {
    serialize: (value: never) => {
      const bytes = toBinary(message, value);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes: Buffer) => fromBinary(message, bytes),
  };
}
