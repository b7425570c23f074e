/** What the recorder counts at its RDP door, in Prometheus' text format. The counters begin anew with its process. */
import type { RecorderPort } from '@lucid-sessions/contract';

const outcomes = {
  refused: 'connectionsRefused',
  over_limit: 'connectionsOverLimit',
  target_failed: 'targetsFailed',
  client_left: 'clientsLeft',
} as const;
const probes = ['tcp', 'garbage', 'x224', 'tls'] as const;

/** Empty while the recorder can't be asked: the other metrics must not wait for it. */
export async function doorMetrics(recorder: Pick<RecorderPort, 'health'>): Promise<string> {
  try {
    const { details } = await recorder.health();
    const count = (name: string): number => (typeof details[name] === 'number' ? details[name] : 0);
    return [
      '# HELP rdp_connections_total Connections that became no session, by what became of them.',
      '# TYPE rdp_connections_total counter',
      ...Object.entries(outcomes).map(
        ([outcome, name]) => `rdp_connections_total{outcome="${outcome}"} ${count(name)}`,
      ),
      '# HELP rdp_probes_total Connections that asked for nothing, by how far they came.',
      '# TYPE rdp_probes_total counter',
      ...probes.map((kind) => `rdp_probes_total{kind="${kind}"} ${count(`probes_${kind}`)}`),
      '# HELP rdp_connections_waiting Connections that are no session yet.',
      '# TYPE rdp_connections_waiting gauge',
      `rdp_connections_waiting ${count('connectionsWaiting')}`,
      '# HELP rdp_unread_pdus_total PDUs that were recorded as inputs, or blanked, because they could not be read.',
      '# TYPE rdp_unread_pdus_total counter',
      `rdp_unread_pdus_total ${count('pdusUnread')}`,
      '# HELP rdp_unknown_channel_pdus_total PDUs of clients on channels whose use is not known; the log names them.',
      '# TYPE rdp_unknown_channel_pdus_total counter',
      `rdp_unknown_channel_pdus_total ${count('unknownChannelPdus')}`,
    ].join('\n');
  } catch {
    return '';
  }
}
