/** Routes of rules over what happens in sessions, and of the alerts they raise. */
import {
  alertList,
  alertRuleList,
  alertRuleRequest,
  alertRuleView,
  listAlertsQuery,
  removedAlertRule,
} from './alert-schemas.ts';
import { restOperations } from './operations.ts';
import type { RestRoute } from './route.ts';

export const alertRoutes = {
  listAlerts: {
    ...restOperations.listAlerts,
    summary: 'What rules have found, latest first: which rule, in which session, when',
    tag: 'alerts',
    permissions: ['alerts:read'],
    rateLimit: 'read',
    query: listAlertsQuery,
    answer: { status: 200, schema: alertList },
    errors: ['invalidRequest'],
  },
  listAlertRules: {
    ...restOperations.listAlertRules,
    summary: 'Rules over what happens in sessions',
    tag: 'alerts',
    permissions: ['alerts:manage'],
    rateLimit: 'read',
    answer: { status: 200, schema: alertRuleList },
    errors: [],
  },
  createAlertRule: {
    ...restOperations.createAlertRule,
    summary: 'A new rule: it judges what happens from now on',
    tag: 'alerts',
    permissions: ['alerts:manage'],
    rateLimit: 'update',
    body: alertRuleRequest,
    answer: { status: 201, schema: alertRuleView },
    errors: ['invalidRequest', 'conflict'],
  },
  getAlertRule: {
    ...restOperations.getAlertRule,
    summary: 'Read a rule',
    tag: 'alerts',
    permissions: ['alerts:manage'],
    rateLimit: 'read',
    answer: { status: 200, schema: alertRuleView },
    errors: ['notFound'],
  },
  replaceAlertRule: {
    ...restOperations.replaceAlertRule,
    summary: 'Replace a rule by another of the same id',
    tag: 'alerts',
    permissions: ['alerts:manage'],
    rateLimit: 'update',
    body: alertRuleRequest,
    answer: { status: 200, schema: alertRuleView },
    errors: ['invalidRequest', 'notFound', 'conflict'],
  },
  removeAlertRule: {
    ...restOperations.removeAlertRule,
    summary: 'Remove a rule; its alerts stay',
    tag: 'alerts',
    permissions: ['alerts:manage'],
    rateLimit: 'update',
    answer: { status: 200, schema: removedAlertRule },
    errors: ['notFound'],
  },
} as const satisfies Record<string, RestRoute>;
