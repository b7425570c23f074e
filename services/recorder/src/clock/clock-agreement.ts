/** What several sources together say of a clock. */

export interface ClockSample {
  /** What has to be added to the clock, µs. */
  offsetUs: number;
  /** By how much that may be wrong, either way: root dispersion, half of all delays. */
  errorUs: number;
}

export interface Agreement extends ClockSample {
  /** Which of the samples agree, by their places. */
  agreeing: number[];
}

/** Median; of an even number the mean of the middle two. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(half)]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/**
 * The stretch in which most of the intervals offset ± error meet (Marzullo's algorithm, RFC 5905 11.2.1), if they are more than half of
 * those `asked`: the others lie. The median of those in it, which may be wrong by the smallest error of theirs and how far they lie from
 * it. Null: no majority.
 */
export function agreementOf(samples: readonly ClockSample[], asked = samples.length): Agreement | null {
  const edges = samples
    .flatMap(({ offsetUs, errorUs }) => [
      { at: offsetUs - errorUs, step: 1 },
      { at: offsetUs + errorUs, step: -1 },
    ])
    .sort((a, b) => a.at - b.at || b.step - a.step);
  let [inside, most, from] = [0, 0, 0];
  for (const { at, step } of edges) {
    inside += step;
    if (step === 1 && inside > most) [most, from] = [inside, at];
  }
  if (most * 2 <= asked) return null;
  const agreeing = samples.flatMap(({ offsetUs, errorUs }, place) =>
    offsetUs - errorUs <= from && from <= offsetUs + errorUs ? [place] : [],
  );
  const theirs = agreeing.map((place) => samples[place]!);
  const offsetUs = Math.round(medianOf(theirs.map((sample) => sample.offsetUs)));
  const errorUs = Math.min(...theirs.map((sample) => sample.errorUs + Math.abs(sample.offsetUs - offsetUs)));
  return { offsetUs, errorUs, agreeing };
}
