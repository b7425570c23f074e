/** What options and variables are checked against before anything else is loaded: without a schema library. */

/** What replay can't show and the gateway takes out of the negotiation, unless it is told to leave it in. */
export const unreplayable = ['graphics', 'bitmap_cache', 'udp', 'video'] as const;
export type Unreplayable = (typeof unreplayable)[number];

/** A hundred years. */
export const retentionDaysMax = 36_500;
