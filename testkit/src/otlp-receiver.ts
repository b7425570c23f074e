/** A receiver of OTLP traces over HTTP, protobuf or JSON (opentelemetry-proto 1, ExportTraceServiceRequest), that keeps what it is sent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  service: string;
  traceId: string;
  spanId: string;
  /** Empty: it begins the trace. */
  parentSpanId: string;
  name: string;
  attributes: Record<string, string | number>;
}

export interface OtlpReceiver {
  url: string;
  spans: ReceivedSpan[];
  contentTypes: Set<string>;
  stop(): Promise<void>;
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const contentTypes = new Set<string>();
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const sent = Buffer.concat(parts);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const type = request.headers['content-type'] ?? '';
    contentTypes.add(type);
    if (request.url === '/v1/traces')
      spans.push(...(type === 'application/json' ? fromJson(body) : fromProtobuf(body)));
    response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    contentTypes,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface JsonAttribute {
  key: string;
  value: { stringValue?: string; intValue?: string | number };
}
interface JsonSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  attributes?: JsonAttribute[];
}
interface JsonRequest {
  resourceSpans: { resource: { attributes: JsonAttribute[] }; scopeSpans: { spans: JsonSpan[] }[] }[];
}

const jsonAttributes = (given: JsonAttribute[] = []): Record<string, string | number> =>
  Object.fromEntries(given.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]));

function fromJson(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(body.toString()) as JsonRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(jsonAttributes(resource.attributes)['service.name']);
    return scopeSpans.flatMap((scope) =>
      scope.spans.map(({ parentSpanId = '', attributes, traceId, spanId, name }) => ({
        ...{ service, traceId, spanId, parentSpanId, name },
        attributes: jsonAttributes(attributes),
      })),
    );
  });
}

type Field = { number: number; bytes: Buffer; value: number };

/** Fields of a protobuf message; of varints their value, of all others their bytes. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag & 7;
    const value = wire === 0 ? varint() : 0;
    const length = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : 0;
    fields.push({ number: tag >> 3, value, bytes: message.subarray(at, at + length) });
    at += length;
  }
  return fields;
}

const all = (fields: readonly Field[], number: number): Buffer[] =>
  fields.filter((field) => field.number === number).map(({ bytes }) => bytes);
const one = (fields: readonly Field[], number: number): Buffer => all(fields, number)[0] ?? Buffer.alloc(0);

function protobufAttributes(given: readonly Buffer[]): Record<string, string | number> {
  return Object.fromEntries(
    given.map((attribute) => {
      const fields = fieldsOf(attribute);
      const value = fieldsOf(one(fields, 2));
      const text = value.find(({ number }) => number === 1);
      return [
        one(fields, 1).toString(),
        text?.bytes.toString() ?? value.find(({ number }) => number === 3)?.value ?? 0,
      ];
    }),
  );
}

function fromProtobuf(body: Buffer): ReceivedSpan[] {
  return all(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const fields = fieldsOf(resourceSpans);
    const service = String(protobufAttributes(all(fieldsOf(one(fields, 1)), 1))['service.name']);
    return all(fields, 2).flatMap((scope) =>
      all(fieldsOf(scope), 2).map((message) => {
        const span = fieldsOf(message);
        return {
          service,
          traceId: one(span, 1).toString('hex'),
          spanId: one(span, 2).toString('hex'),
          parentSpanId: one(span, 4).toString('hex'),
          name: one(span, 5).toString(),
          attributes: protobufAttributes(all(span, 9)),
        };
      }),
    );
  });
}
