import type { Finding, Verdicts, VerificationReport } from '@lucid-sessions/evidence';

export type Tone = 'good' | 'warn' | 'bad' | 'unknown';

const tones: { [Q in keyof Verdicts]: Record<Verdicts[Q], Tone> } = {
  integrity: { intact: 'good', broken: 'bad' },
  completeness: { whole: 'good', part: 'good', gaps: 'warn', erased: 'warn', unclosed: 'warn', incomplete: 'bad' },
  origin: { trusted: 'good', imported: 'warn', untrusted: 'bad', forged: 'bad' },
  time: {
    anchored: 'good',
    witnessed: 'good',
    logged: 'good',
    recorder_only: 'warn',
    imported: 'warn',
    contradicted: 'bad',
  },
  readability: { readable: 'good', shredded: 'warn', not_checked: 'unknown', unreadable: 'bad' },
  replay: { drawn: 'good', parts: 'warn', unexamined: 'unknown', nothing: 'bad' },
};

/** Without a policy nobody is trusted: that is no finding against the recording. */
export function toneOf<Q extends keyof Verdicts>(question: Q, word: Verdicts[Q], hasPolicy: boolean): Tone {
  if (!hasPolicy && question === 'origin' && word === 'untrusted') return 'unknown';
  return tones[question][word];
}

/** Findings as they are told: that nobody is trusted is none where nobody was named. */
export const findingsOf = ({ findings }: VerificationReport, hasPolicy: boolean): Finding[] =>
  hasPolicy ? findings : findings.filter(({ code }) => code !== 'KEY_UNTRUSTED');

/** Nothing of it was changed, and nothing is missing. */
export const mayPlay = ({ verdicts }: VerificationReport): boolean =>
  verdicts.integrity === 'intact' && verdicts.completeness !== 'incomplete' && verdicts.readability !== 'unreadable';

/** The whole of it in a sentence. */
export function bannerOf(report: VerificationReport, hasPolicy: boolean): { tone: Tone; text: string } {
  const { verdicts, clean } = report;
  const { length: count } = findingsOf(report, hasPolicy);
  const counted = count === 1 ? '1 finding' : `${count} findings`;
  if (verdicts.integrity === 'broken' || verdicts.completeness === 'incomplete')
    return { tone: 'bad', text: `This recording is ALTERED or INCOMPLETE: ${counted}. It proves nothing as it is.` };
  if (verdicts.readability === 'unreadable')
    return { tone: 'bad', text: 'The key does not open this recording, or its contents are damaged.' };
  if (verdicts.origin === 'forged') return { tone: 'bad', text: 'FORGED: a signature is bad.' };
  if (!hasPolicy && count === 0)
    return {
      tone: 'warn',
      text: 'Nothing in this file contradicts itself. WHO recorded it, and WHEN, was not checked: that takes the policy you hold.',
    };
  if (verdicts.origin === 'untrusted' && hasPolicy)
    return { tone: 'bad', text: 'Signed by a recorder that your policy does NOT trust.' };
  if (!clean) return { tone: 'warn', text: `NOT CLEAN: ${counted}, listed below.` };
  const notes = [
    verdicts.time === 'recorder_only' && 'only the recorder vouches for the time',
    verdicts.replay !== 'drawn' && 'whether all of it can be seen was not examined',
  ].filter((note) => note !== false);
  const but = notes.length === 0 ? '' : ` But ${notes.join(', and ')}.`;
  return { tone: 'good', text: `CLEAN: unaltered, and made by a recorder you trust.${but}` };
}

const clock = (us: number): string => new Date(Math.floor(us / 1000)).toISOString().replace('.000Z', 'Z');
export const timeText = (us: number | null): string => (us === null ? 'not known' : clock(us));
