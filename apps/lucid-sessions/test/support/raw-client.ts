/** The CLI's client, and beside it requests by method and path: how the API answers what the contract doesn't have is tried that way. */
import { basePath, type RestCall } from '@lucid-sessions/contract/rest-client';
import { ApiClient } from '../../src/cli/api-client.ts';

type Method = RestCall['method'];

export class RawClient extends ApiClient {
  async json<T>(method: Method, path: string, body?: unknown): Promise<T> {
    return (await (await this.send(method, path, body)).json()) as T;
  }

  send(method: Method, path: string, body?: unknown): Promise<Response> {
    const json = body === undefined ? {} : { body: JSON.stringify(body), contentType: 'application/json' };
    return this.call({ method, path: basePath + path, ...json });
  }

  async upload<T>(path: string, body: Uint8Array<ArrayBuffer>, contentType: string): Promise<T> {
    return (await (await this.call({ method: 'POST', path: basePath + path, body, contentType })).json()) as T;
  }
}
