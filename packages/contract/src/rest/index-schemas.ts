/** Answers from the index of a session: what happened in it, and when. */
import { z } from 'zod';
import { sessionIdSchema } from '../models.ts';
import {
  count,
  inputsWanted,
  logonWanted,
  optionalQueryInteger,
  pagination,
  queryInteger,
  querySwitch,
} from './fields.ts';

const side = z.enum(['client', 'server']);
const deviceKinds = ['printer', 'serial', 'parallel', 'smart_card', 'other'] as const;
const contents = {
  bytes: count
    .nullable()
    .describe('Bytes that went over, each byte of the file counted once; null where that is not known.'),
  size: count.nullable().describe('Of the file, as its owner said; null where that is not known.'),
  sha256: z.string().nullable().describe('Of the whole file; null unless all of it went over.'),
};
const driveFile = { drive: z.string(), path: z.string(), offset: count, ...contents };
const event = <K extends string, S extends z.ZodRawShape>(kind: K, shape: S) =>
  z.strictObject({ time_us: count, kind: z.literal(kind), ...shape });

export const indexEventSchema = z
  .discriminatedUnion('kind', [
    event('note', { note: z.record(z.string(), z.unknown()) }),
    event('logon', { from: side, user_name: z.string(), domain: z.string() }),
    event('resize', { width: count, height: count }),
    event('monitors', {
      monitors: z.array(
        z.strictObject({ left: z.int(), top: z.int(), width: count, height: count, primary: z.boolean() }),
      ),
    }),
    event('window', {
      what: z.enum(['opened', 'activated', 'renamed', 'closed']),
      window_id: count,
      title: z.string(),
    }),
    event('typed', {
      until_us: count,
      text: z.string().nullable(),
      keys: count,
      erased: count,
      entered: z.boolean(),
      approximate: z.boolean().describe('The keyboard of the client is not the one its keys were read as (US).'),
      at_logon: z
        .boolean()
        .describe('Typed before the host said who logged on: it may be a password, and its text needs `logon=true`.'),
    }),
    event('combination', { keys: z.string().nullable() }),
    event('click', {
      button: z.string().describe('Of the mouse; or touch, or pen.'),
      x: z.int().nullable(),
      y: z.int().nullable(),
    }),
    event('clipboard_text', {
      from: side,
      text: z.string().nullable(),
      characters: count,
      sha256: z.string().nullable(),
    }),
    event('clipboard_data', {
      from: side,
      format: z.string().describe('A picture, HTML, …: the name of its clipboard format.'),
      bytes: count,
      text: z.string().nullable(),
      sha256: z.string().nullable(),
    }),
    event('clipboard_files', {
      from: side,
      count,
      files: z.array(z.strictObject({ name: z.string(), bytes: count.nullable() })).nullable(),
    }),
    event('clipboard_file', { from: side, name: z.string().nullable(), ...contents }),
    event('drive', { device_id: count, name: z.string() }),
    event('device', { device_id: count, type: z.enum(deviceKinds), name: z.string() }),
    event('device_removed', { device_id: count, name: z.string() }),
    event('drive_open', { drive: z.string(), path: z.string(), opened: z.boolean(), for_writing: z.boolean() }),
    event('drive_read', driveFile),
    event('drive_written', driveFile),
    event('drive_deleted', { drive: z.string(), path: z.string() }),
    event('drive_renamed', { drive: z.string(), path: z.string(), new_path: z.string() }),
    event('print_job', { printer: z.string(), bytes: count.nullable(), sha256: z.string().nullable() }),
    event('not_kept', { what: z.enum(['input', 'clipboard']), policy: z.enum(['masked', 'none']) }),
    event('error', { code: z.string(), message: z.string() }),
    event('disconnect', { from: side, reason: count }),
  ])
  .describe('Times are µs since the beginning of the session. A null text was not kept, or may not be seen here.');

const page = {
  limit: queryInteger(1, 10_000, 1000),
  offset: queryInteger(0, 1_000_000_000, 0),
  inputs: inputsWanted,
  logon: logonWanted,
};

export const indexQuery = z.strictObject(page);
export const eventsQuery = z.strictObject({
  ...page,
  search: z.string().min(1).max(200).optional().describe('Part of any text of an event, without regard to case.'),
  kind: z
    .string()
    .regex(/^[a-z_]{1,40}$/)
    .optional(),
});

const eventPage = {
  session_id: sessionIdSchema,
  inputs: z.boolean().describe('Typed and copied texts are in it.'),
  logon: z.boolean().describe('So is what was typed before the host said who logged on.'),
  complete: z.boolean().describe('The last chunk of the recording is in it.'),
  dropped: count.describe('Events above what the index of one chunk may hold.'),
  events: z.array(indexEventSchema),
  pagination,
};

export const eventsAnswer = z.strictObject(eventPage);
export const indexAnswer = z.strictObject({
  ...eventPage,
  chunks: count,
  activity: z
    .array(z.tuple([count, count, count, count, count]))
    .describe('Second of the session, bytes from the server, bytes from the client, updates, inputs.'),
});

export const pictureQuery = z.strictObject({
  time_us: optionalQueryInteger(0, 999_999_999_999_999).describe('µs since the session began; without it the end.'),
  pointer: querySwitch(true).describe('With the pointer.'),
});

export const keyframesQuery = z.strictObject({
  limit: queryInteger(1, 10_000, 10_000),
  offset: queryInteger(0, 1_000_000_000, 0),
});
export const keyframesAnswer = z.strictObject({
  session_id: sessionIdSchema,
  covered_chunks: count.describe('Chunks looked at so far; the others are being looked at.'),
  ended: z
    .enum(['h264', 'chunk'])
    .nullable()
    .describe(
      'Why there are none behind the last one: H.264 began and the server has no ffmpeg, or a chunk can not be read.',
    ),
  keyframes: z
    .array(
      z.strictObject({
        number: count,
        base: count.describe('Number of the keyframe it is encoded against (its base); 0 for none.'),
        chunk_index: count.describe('With `frame_index` the next frame to decode.'),
        frame_index: count,
        time_us: count.describe('Of use from this time on; the next frame may lie before it.'),
        size_bytes: count,
      }),
    )
    .describe('In order of place.'),
  pagination,
});
