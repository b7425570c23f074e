/** Patterns over what was typed, copied, shown as a title and named as a file. RE2: time grows with the text alone. */
import type { AlertCondition, AlertPlace } from '@lucid-sessions/contract';
import type { IndexEvent } from '@lucid-sessions/recording/session-index';
import { RE2JS } from 're2js';

type PatternCondition = Extract<AlertCondition, { kind: 'pattern' }>;

/** Throws where it is no pattern. */
export const compiledPattern = ({ pattern, match_case }: Pick<PatternCondition, 'pattern' | 'match_case'>): RE2JS =>
  RE2JS.compile(pattern, match_case ? 0 : RE2JS.CASE_INSENSITIVE);

/** What is wrong with a pattern; null: nothing. */
export function patternProblem(pattern: string): string | null {
  try {
    compiledPattern({ pattern, match_case: false });
    return null;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** Of an event, where a pattern may look. */
export function placedTexts(event: IndexEvent): { place: AlertPlace; texts: string[] } | null {
  switch (event.kind) {
    case 'typed':
      return event.text === null ? null : { place: 'typed', texts: [event.text] };
    case 'clipboard_text':
    case 'clipboard_data':
      return event.text === null ? null : { place: 'clipboard', texts: [event.text] };
    case 'window':
      return { place: 'windows', texts: [event.title] };
    case 'clipboard_files':
      return { place: 'files', texts: event.files?.map(({ name }) => name) ?? [] };
    case 'clipboard_file':
      return event.name === null ? null : { place: 'files', texts: [event.name] };
    case 'drive_open':
    case 'drive_read':
    case 'drive_written':
    case 'drive_deleted':
      return { place: 'files', texts: [event.path] };
    case 'drive_renamed':
      return { place: 'files', texts: [event.path, event.newPath] };
    default:
      return null;
  }
}
