/** A large object in parts, several at once; the condition holds for the whole as it is put together. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { conditionOf, type PutCondition, type S3Bucket, sha256Of, withBodyHash } from './s3-bucket.ts';
import { isUploadGone } from './s3-errors.ts';
import { wasRepeated } from './s3-sender.ts';

/** Answers the ETag. */
export async function putInParts(
  bucket: S3Bucket,
  key: string,
  bytes: Uint8Array<ArrayBuffer>,
  sha256: Buffer,
  condition: PutCondition,
  partBytes: number,
): Promise<string> {
  const { sender } = bucket;
  const named = bucket.named(key);
  const { answer: begun } = await sender.send((abortSignal) =>
    sender.client.send(
      new CreateMultipartUploadCommand({ ...named, ...bucket.made(sha256, condition), ChecksumAlgorithm: 'SHA256' }),
      { abortSignal },
    ),
  );
  const upload = { ...named, UploadId: begun.UploadId };
  try {
    const count = Math.ceil(bytes.length / partBytes);
    const parts = await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        const part = bytes.subarray(at * partBytes, (at + 1) * partBytes);
        const digest = await sha256Of(part);
        const checksum = { ChecksumSHA256: digest.toString('base64') };
        const number = { PartNumber: at + 1 };
        const { answer } = await sender.send((abortSignal) => {
          const command = new UploadPartCommand({ ...upload, ...number, ...checksum, Body: part });
          return sender.client.send(withBodyHash(command, digest), { abortSignal });
        }, part.length);
        return { ETag: answer.ETag, ...number, ...checksum };
      }),
    );
    const { answer } = await sender.send(
      (abortSignal) =>
        sender.client.send(
          new CompleteMultipartUploadCommand({
            ...upload,
            ...conditionOf(condition),
            MultipartUpload: { Parts: parts },
          }),
          { abortSignal },
        ),
      bytes.length,
    );
    return answer.ETag ?? '';
  } catch (thrown) {
    // Put together by a try whose answer was lost: the object is there.
    if (isUploadGone(thrown) && wasRepeated(thrown)) {
      const present = await bucket.facts(key);
      if (present !== null && (await bucket.isSame(key, present, bytes, sha256))) return present.etag;
    }
    // What is left of it `abandonUploads` takes away.
    await sender
      .send((abortSignal) => sender.client.send(new AbortMultipartUploadCommand(upload), { abortSignal }))
      .catch(() => {});
    throw thrown;
  }
}
