/** Rules in words: what command line and console show. */
import type { AlertCondition } from './alerts.ts';

const dayNames = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

export function alertConditionWords(condition: AlertCondition): string {
  switch (condition.kind) {
    case 'pattern': {
      const logon = condition.before_logon ? ', also before the logon' : '';
      return `/${condition.pattern}/${condition.match_case ? '' : 'i'} in ${condition.in.join(', ')}${logon}`;
    }
    case 'hours': {
      const days = condition.days.map((day) => dayNames[day - 1]).join(' ');
      return `outside ${condition.from}–${condition.to} ${days} (${condition.time_zone})`;
    }
    case 'volume':
      return `more than ${condition.more_than} ${condition.of} by ${condition.through.join(', ')} in ${condition.minutes} min`;
    case 'sessions':
      return `more than ${condition.more_than} sessions of a person in ${condition.minutes} min`;
    case 'rare_target':
      return `a target that ${condition.by === 'person' ? 'its person' : 'nobody'} used in ${condition.days} days`;
  }
}
