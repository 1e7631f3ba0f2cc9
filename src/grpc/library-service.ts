import type { Server, ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { type CallContext, StreamReader, StreamWriter, wellFormed } from "./calls.ts";
import { type Malformed, orMalformed } from "./definition.ts";

/** What a message to a client counts for among the bytes that wait to be sent: that of reflection has files in it. */
const MESSAGE_BYTES = 64 * 1024;

type Handler = (call: never, answer?: (error: unknown) => void) => void;
type AnyCall = ServerDuplexStream<unknown, unknown> & { readonly request?: unknown };

/**
 * The server, for services of a library, as we want them served: requests that can't be read are refused with
 * INVALID_ARGUMENT, nothing is read for a client that doesn't read, and streams are remembered, to be ended with the
 * others. Without the last a health watch would hold up every shutdown.
 */
export function servingLibraries(server: Pick<Server, "addService">, context: CallContext): Pick<Server, "addService"> {
  return {
    addService: (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      const ownDefinition: Record<string, ServiceDefinition[string]> = {};
      const ownImplementation: UntypedServiceImplementation = {};
      for (const [name, method] of Object.entries(definition)) {
        const key = implementation[name] === undefined ? (method.originalName ?? name) : name;
        const handle = implementation[key] as Handler | undefined;
        ownDefinition[name] = { ...method, requestDeserialize: orMalformed(method.requestDeserialize) };
        if (handle === undefined) continue;
        ownImplementation[name] = method.requestStream
          ? (call: AnyCall) => serveBidi(call, handle, context)
          : (call: AnyCall, answer?: (error: unknown) => void) => serveOne(call, answer, handle, context);
      }
      server.addService(ownDefinition, ownImplementation);
    },
  };
}

/** A call with one request. Without `answer` it is answered by a stream. */
function serveOne(
  call: AnyCall,
  answer: ((error: unknown) => void) | undefined,
  handle: Handler,
  { translator, streams }: CallContext,
): void {
  try {
    wellFormed(call.request);
  } catch (error) {
    const status = translator.callError(error);
    if (answer === undefined) call.emit("error", status);
    else answer(status);
    return;
  }
  if (answer === undefined) streams.add(call, () => call.end());
  handle(call as never, answer);
}

/** A stream of requests, each answered by one message at once. */
function serveBidi(call: AnyCall, handle: Handler, { translator, streams }: CallContext): void {
  const reader = new StreamReader(call);
  const writer = new StreamWriter(call, translator, () => reader.resume());
  streams.add(call, () => writer.end());
  const stream = {
    on: (event: string, listener: (message?: unknown) => void): void => {
      if (event === "data") call.on("data", (message: unknown | Malformed) => taking(message, listener));
      else call.on(event, listener);
    },
    write: (message: unknown): void => writer.write(message, MESSAGE_BYTES),
    end: (): void => writer.end(),
  };
  const taking = (message: unknown, listener: (message: unknown) => void): void => {
    if (writer.ended) return;
    try {
      listener(wellFormed(message));
    } catch (error) {
      writer.fail(error);
    }
    if (!writer.ready) reader.pause();
  };
  handle(stream as never);
}
