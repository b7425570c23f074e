/** Apart from the rest, which brings the SDK: who reads settings needs no more than this. */
export interface S3Limits {
  /** Requests at once. */
  requestsMax: number;
  /** Of one try, beside a second for each MiB it carries. */
  tryMsMax: number;
  /** After which a call that met only passing faults fails. */
  giveUpMs: number;
  backOffMs: { first: number; most: number };
}

export const s3Limits: S3Limits = {
  requestsMax: 32,
  tryMsMax: 10_000,
  giveUpMs: 60_000,
  backOffMs: { first: 50, most: 5000 },
};
