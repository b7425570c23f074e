/** Rules over one chunk of a session's index. The same index and the same rules say the same, whenever they are asked. */
import {
  type AlertCondition,
  type AlertHit,
  type AlertProgress,
  type AlertRules,
  alertsPerChunkMax,
} from '@lucid-sessions/contract';
import type { IndexEvent, IndexSegment } from '@lucid-sessions/recording/session-index';
import type { RE2JS } from 're2js';
import { isUsualTime } from './judge-hours.ts';
import { compiledPattern, placedTexts } from './judge-pattern.ts';
import { addLeaving, leftUntil, minuteOf } from './judge-volume.ts';

/** Characters of one chunk that are held against one pattern, and their product with its instructions: some seconds of a core at worst. */
const charactersMax = 1_000_000;
const stepsMax = 80_000_000;
const secondUs = 1_000_000;

export interface Judgement {
  hits: AlertHit[];
  progress: AlertProgress;
  skipped: number;
}

type Rule<C extends AlertCondition = AlertCondition> = AlertRules['rules'][number] & { condition: C };
type OfKind<K extends AlertCondition['kind']> = Extract<AlertCondition, { kind: K }>;

const keyOf = ({ ruleId, sinceUs }: Rule): string => `${ruleId}.${sinceUs}`;
const isOf =
  <K extends AlertCondition['kind']>(kind: K) =>
  (rule: Rule): rule is Rule<OfKind<K>> =>
    rule.condition.kind === kind;

/** `openedUs`: when the chunk was opened, µs since 1970. */
export function judgeSegment(
  segment: IndexSegment,
  openedUs: number,
  rules: AlertRules['rules'],
  before: AlertProgress,
): Judgement {
  const keys = new Set(rules.map(keyOf));
  const raised = Object.fromEntries(Object.entries(before.raised).filter(([key]) => keys.has(key)));
  const judge = new SegmentJudge(segment, openedUs, { minutes: before.minutes.map((row) => [...row]), raised });
  judge.hours(rules.filter(isOf('hours')));
  judge.events(rules.filter(isOf('pattern')), rules.filter(isOf('volume')));
  return judge.judgement();
}

class SegmentJudge {
  readonly #segment: IndexSegment;
  readonly #openedUs: number;
  readonly #firstUs: number;
  readonly #progress: AlertProgress;
  readonly #hits = new Map<string, AlertHit[]>();
  #skipped = 0;

  constructor(segment: IndexSegment, openedUs: number, progress: AlertProgress) {
    this.#segment = segment;
    this.#openedUs = openedUs;
    this.#progress = progress;
    const second = segment.activity[0]?.second;
    this.#firstUs = second === undefined ? segment.untilUs : Math.min(second * secondUs, segment.untilUs);
  }

  judgement(): Judgement {
    return { hits: [...this.#hits.values()].flat(), progress: this.#progress, skipped: this.#skipped };
  }

  /** By the recorder's clock. The session's own stands while it waits for its client. */
  #atUs(timeUs: number): number {
    return Math.max(0, this.#openedUs + timeUs - this.#firstUs);
  }

  #hit({ ruleId, sinceUs }: Rule, timeUs: number): boolean {
    const atUs = this.#atUs(timeUs);
    if (atUs < sinceUs) return false;
    const known = this.#hits.get(ruleId) ?? [];
    this.#hits.set(ruleId, known);
    if (known.length < alertsPerChunkMax) known.push({ ruleId, timeUs, atUs, more: 0 });
    else known.at(-1)!.more += 1;
    return true;
  }

  /** Once a session: at its beginning, or when somebody goes on past the end of the usual time. */
  hours(rules: readonly Rule<OfKind<'hours'>>[]): void {
    const { activity, chunkIndex } = this.#segment;
    const moments = activity.filter(({ inputs }) => inputs > 0).map(({ second }) => second * secondUs);
    if (chunkIndex === 0) moments.unshift(this.#firstUs);
    for (const rule of rules)
      for (const timeUs of moments) {
        if (this.#progress.raised[keyOf(rule)] !== undefined) break;
        if (isUsualTime(rule.condition, this.#atUs(timeUs))) continue;
        if (this.#hit(rule, timeUs)) this.#progress.raised[keyOf(rule)] = minuteOf(timeUs);
      }
  }

  events(patterns: readonly Rule<OfKind<'pattern'>>[], volumes: readonly Rule<OfKind<'volume'>>[]): void {
    const compiled = patterns.map((rule) => {
      const pattern = compiledPattern(rule.condition);
      return { rule, pattern, left: Math.min(charactersMax, Math.floor(stepsMax / pattern.programSize())) };
    });
    for (const event of this.#segment.events) {
      for (const one of compiled) this.#pattern(one, event);
      if (volumes.length > 0 && addLeaving(this.#progress.minutes, event)) this.#volume(volumes, event);
    }
  }

  #pattern(one: { rule: Rule<OfKind<'pattern'>>; pattern: RE2JS; left: number }, event: IndexEvent): void {
    const placed = placedTexts(event);
    const { in: places, before_logon } = one.rule.condition;
    if (placed === null || !places.includes(placed.place)) return;
    if (event.kind === 'typed' && event.atLogon && !before_logon) return;
    for (const text of placed.texts) {
      if (text.length > one.left) {
        this.#skipped += 1;
        continue;
      }
      one.left -= text.length;
      if (!one.pattern.matcher(text).find()) continue;
      this.#hit(one.rule, event.timeUs);
      return;
    }
  }

  /** Raised again when its minutes have passed and there is too much once more. */
  #volume(volumes: readonly Rule<OfKind<'volume'>>[], { timeUs }: IndexEvent): void {
    const minute = minuteOf(timeUs);
    for (const rule of volumes) {
      const last = this.#progress.raised[keyOf(rule)];
      if (last !== undefined && minute < last + rule.condition.minutes) continue;
      if (leftUntil(this.#progress.minutes, minute, rule.condition) <= rule.condition.more_than) continue;
      if (this.#hit(rule, timeUs)) this.#progress.raised[keyOf(rule)] = minute;
    }
  }
}
