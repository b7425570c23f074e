import { isMostlyOneColour, replayText, type Verdicts, type VerificationReport } from '@lucid-sessions/evidence';
import type { Verdict, VerdictTone } from '../protocol.ts';

/** How far the chunk files themselves were looked at. */
export interface CheckedChunks {
  /** The verifier read every one of them. */
  all: boolean;
  count: number;
  checked: number;
  /** Indexes of files that are not what was sealed. */
  altered: readonly number[];
}

const names = ['integrity', 'completeness', 'origin', 'time', 'readability', 'replay'] as const;

export function verdictsUnknown(detail: string): Verdict[] {
  return names.map((name, i) => ({ name, tone: 'unknown', word: 'not checked', detail: i === 0 ? detail : '' }));
}

/** A verification report as six answers for a person. `hasPolicy`: the installation named the keys it trusts. */
export function verdictsOf(report: VerificationReport, chunks: CheckedChunks, hasPolicy: boolean): Verdict[] {
  const answers = [
    integrity(report, chunks),
    completeness(report, chunks),
    origin(report, hasPolicy),
    time(report),
    readability(report, chunks),
    replay(report),
  ];
  return report.facts.imported === null ? answers : answers.map(sinceItsImport);
}

/** What holds of an imported recording holds since somebody handed it in: nothing about it is green. */
function sinceItsImport(answer: Verdict): Verdict {
  if (answer.tone !== 'good') return answer;
  const word = answer.name === 'completeness' ? 'as imported' : answer.word;
  return { ...answer, tone: 'unknown', word, detail: `Since its import only. ${answer.detail}` };
}

/** What every picture of an imported recording comes with; null where it was recorded. */
export function importedText({ facts: { imported } }: VerificationReport): string | null {
  if (imported === null) return null;
  return `Imported by ${imported.by} from ${imported.source_name}. Nothing is proven about what it shows, or when and where it happened.`;
}

const verdict = (name: Verdict['name'], tone: VerdictTone, word: string, detail: string): Verdict => ({
  name,
  tone,
  word,
  detail,
});

const many = (count: number, what: string): string => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;

/** The first finding among `codes`, as a sentence. */
function because(report: VerificationReport, ...codes: string[]): string {
  const finding = report.findings.find(({ code }) => codes.includes(code));
  if (!finding) return '';
  return `${finding.message.charAt(0).toUpperCase()}${finding.message.slice(1)}.`;
}

function integrity(report: VerificationReport, chunks: CheckedChunks): Verdict {
  const name = 'integrity';
  if (report.verdicts.integrity === 'broken') {
    const codes = [
      'CHUNK_ALTERED',
      'SIG_BAD',
      'SPLICED',
      'SEAL_EPOCH',
      'REORDERED',
      'CHUNK_EXTRA',
      'ROOT_MISMATCH',
      'FORMAT',
    ];
    return verdict(name, 'bad', 'altered', because(report, ...codes));
  }
  const [first] = chunks.altered;
  if (first !== undefined)
    return verdict(name, 'bad', 'altered', `The file of chunk ${first + 1} is not the one that was sealed.`);
  if (chunks.all)
    return verdict(
      name,
      'good',
      'unaltered',
      `Every signature, seal and hash checks out, over ${many(chunks.count, 'chunk')}.`,
    );
  const detail = `Signatures and seals check out; ${chunks.checked} of ${chunks.count} chunk files compared so far.`;
  return verdict(name, 'good', 'unaltered so far', detail);
}

/** Without chunk files the verifier finds each of them missing: that says nothing about the recording. */
function completenessWord(report: VerificationReport, chunks: CheckedChunks): Verdicts['completeness'] {
  const { completeness: word } = report.verdicts;
  if (word !== 'incomplete' || chunks.all || report.findings.some(({ code }) => code === 'TRUNCATED')) return word;
  if (report.facts.chunks_in_manifest === null) return 'unclosed';
  return report.findings.some(({ code }) => code === 'GAP') ? 'gaps' : 'whole';
}

function completeness(report: VerificationReport, chunks: CheckedChunks): Verdict {
  const name = 'completeness';
  const { facts } = report;
  switch (completenessWord(report, chunks)) {
    case 'whole':
      return verdict(
        name,
        'good',
        'whole',
        `${many(facts.leaves_count, 'chunk')} up to the signed end.${notes(report)}`,
      );
    case 'part':
      return verdict(name, 'good', 'a part', 'A part of a whole recording, proven to belong to it.');
    case 'gaps':
      return verdict(name, 'warn', 'gaps', because(report, 'GAP') || 'The recorder declared gaps.');
    case 'erased':
      return verdict(name, 'warn', 'destroyed', 'The chunks were destroyed on purpose, by a signed and logged record.');
    case 'incomplete':
      return verdict(name, 'bad', 'incomplete', because(report, 'TRUNCATED', 'CHUNK_MISSING'));
    case 'unclosed':
      return verdict(name, 'warn', 'not closed', 'The recording has no signed end (yet).');
  }
}

function notes({ facts, states }: VerificationReport): string {
  const parts = [
    facts.pauses_count > 0 && `${facts.pauses_count} pause${facts.pauses_count === 1 ? '' : 's'}`,
    facts.downgrades.length > 0 && `${facts.downgrades.length} downgrade${facts.downgrades.length === 1 ? '' : 's'}`,
    states.includes('RECOVERED') && 'partly recovered after a crash',
  ].filter((part) => part !== false);
  return parts.length > 0 ? ` ${parts.join(', ')}.` : '';
}

function origin(report: VerificationReport, hasPolicy: boolean): Verdict {
  const name = 'origin';
  switch (report.verdicts.origin) {
    case 'trusted':
      return verdict(
        name,
        'good',
        'trusted recorder',
        'Signed by a recorder key that this installation names as its own.',
      );
    case 'forged':
      return verdict(name, 'bad', 'forged', because(report, 'SIG_BAD'));
    case 'imported':
      return verdict(name, 'warn', 'imported', 'Made of a file, not recorded: nothing is proven about what it shows.');
    case 'untrusted':
      if (!hasPolicy)
        return verdict(name, 'unknown', 'not known', 'This installation names no recorder keys to trust.');
      return verdict(name, 'bad', 'not trusted', because(report, 'KEY_UNTRUSTED'));
  }
}

const instant = (us: number): string => new Date(us / 1000).toISOString().slice(0, 16).replace('T', ' ');

function time(report: VerificationReport): Verdict {
  const name = 'time';
  const { facts } = report;
  const latest = facts.not_after_us === null ? '' : ` Existed by ${instant(facts.not_after_us)} UTC at the latest.`;
  switch (report.verdicts.time) {
    case 'anchored':
      return verdict(
        name,
        'good',
        'anchored',
        `Confirmed by ${many(facts.anchors_confirmed, 'outside anchor')}.${latest}`,
      );
    case 'witnessed':
      return verdict(name, 'good', 'witnessed', `${facts.witnesses_count} witnesses cosigned the log.${latest}`);
    case 'logged':
      return verdict(
        name,
        'good',
        'logged',
        facts.anchors_count === 0
          ? 'In the transparency log of this installation; no outside anchor.'
          : `In the transparency log of this installation; ${many(facts.anchors_count, 'outside anchor')}, not checked here.`,
      );
    case 'recorder_only':
      return verdict(
        name,
        'warn',
        'recorder’s clock',
        because(report, 'LOG_INCLUSION') || 'Only the recorder vouches for the time.',
      );
    case 'contradicted':
      return verdict(
        name,
        'bad',
        'contradicted',
        because(report, 'TIME_ORDER', 'LOG_FORK', 'ANCHOR_REORGED', 'ANCHOR_INVALID'),
      );
    case 'imported':
      return verdict(
        name,
        'warn',
        'of the import alone',
        `When what it shows happened is not proven: the file says it itself.${latest}`,
      );
  }
}

function readability(report: VerificationReport, chunks: CheckedChunks): Verdict {
  const name = 'readability';
  switch (report.verdicts.readability) {
    case 'readable':
      return verdict(
        name,
        'good',
        'readable',
        `All ${report.facts.frames_read.toLocaleString('en')} frames decrypt and decode.`,
      );
    case 'unreadable':
      return verdict(name, 'bad', 'not readable', because(report, 'COMMITMENT', 'AUTH', 'DECOMPRESS'));
    case 'shredded':
      return verdict(
        name,
        'warn',
        'destroyed',
        'The keys were destroyed by a signed record; what remains can still be proven.',
      );
    case 'not_checked':
      return chunks.checked > 0
        ? verdict(name, 'good', 'readable so far', 'What was played decrypts and authenticates.')
        : verdict(name, 'unknown', 'not checked', 'Nothing was decrypted yet.');
  }
}

const replayWords: Record<Verdicts['replay'], [tone: VerdictTone, word: string]> = {
  drawn: ['good', 'everything can be seen'],
  parts: ['warn', 'not all can be seen'],
  nothing: ['bad', 'nothing can be seen'],
  unexamined: ['unknown', 'not examined'],
};

/** Readability says that frames decrypt; this, whether anything is to be seen in them. */
function replay({ verdicts, facts }: VerificationReport): Verdict {
  const [tone, word] = replayWords[verdicts.replay];
  const said = replayText(verdicts.replay, facts.replay);
  const when = facts.replay?.examined_us ?? null;
  const detail = `${said.charAt(0).toUpperCase()}${said.slice(1)}.${when === null ? '' : ` Examined ${instant(when)} UTC.`}`;
  const isOpen = verdicts.replay === 'unexamined';
  const isDim = verdicts.replay === 'drawn' && facts.replay !== null && isMostlyOneColour(facts.replay);
  if (isDim) return { ...verdict('replay', 'warn', 'everything, and mostly one colour', detail), isOpen };
  return { ...verdict('replay', tone, word, detail), isOpen };
}
