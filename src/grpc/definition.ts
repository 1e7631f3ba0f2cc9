import { type DescMessage, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** How a message's bytes are read and written, where that isn't left to the generated code. */
export interface Codec {
  readonly serialize: (message: never) => Buffer;
  readonly deserialize: (bytes: Buffer) => unknown;
}

/** What a server gets in a request's place when its bytes could not be read. */
export class Malformed {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/**
 * The grpc-js definition of a generated service. Keys are method names as in the proto. `codecs` replaces the generated
 * code for the messages it names by their full type name.
 *
 * A request that can't be read reaches the handler as a `Malformed`: grpc-js alone would answer it INTERNAL.
 */
export function serviceDefinition(
  service: DescService,
  codecs: Readonly<Record<string, Codec>> = {},
): ServiceDefinition {
  const definition: Record<string, MethodDefinition<unknown, unknown>> = {};
  for (const method of service.methods) {
    definition[method.name] = methodDefinition(method, codecs);
  }
  return definition;
}

/** The grpc-js definition of one method. */
export function methodDefinition(
  method: DescMethod,
  codecs: Readonly<Record<string, Codec>> = {},
): MethodDefinition<unknown, unknown> {
  const input = codecs[method.input.typeName] ?? generatedCodec(method.input);
  const output = codecs[method.output.typeName] ?? generatedCodec(method.output);
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: input.serialize as (message: unknown) => Buffer,
    requestDeserialize: orMalformed(input.deserialize),
    responseSerialize: output.serialize as (message: unknown) => Buffer,
    responseDeserialize: output.deserialize,
  };
}

/** As `deserialize`, but what it throws is the result. */
export function orMalformed(deserialize: (bytes: Buffer) => unknown): (bytes: Buffer) => unknown {
  return (bytes) => {
    try {
      return deserialize(bytes);
    } catch (error) {
      return new Malformed(error);
    }
  };
}

function generatedCodec(message: DescMessage): Codec {
  return {
    serialize: (value: never) => asBuffer(toBinary(message, value)),
    deserialize: (bytes: Buffer) => fromBinary(message, bytes),
  };
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
